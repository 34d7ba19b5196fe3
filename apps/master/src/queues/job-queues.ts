/** The masters' own queues, whose entries are jobs: `background-queue.ts` in the shared package runs them. */
export const PLAN_QUEUES = ['plan', 'plan-light'] as const
export const MERGE_QUEUE = 'merge'
export const WEBHOOK_QUEUE = 'webhook'
export const JOB_QUEUES: string[] = [...PLAN_QUEUES, MERGE_QUEUE, WEBHOOK_QUEUE]
