/** What a file of `SC_TASKS_DIR` imports as `semantics-cluster`. */
export {
  type DefinedJob,
  defineJob,
  type JobContext,
  type JobOptions,
  type JobUnit,
  type UnitOutcome
} from './define-job.ts'
export {
  defineTask,
  type LogFields,
  type LogLevel,
  type Task,
  type TaskContext,
  type TaskLog,
  type TaskOptions,
  type TaskRequirements
} from './define-task.ts'
