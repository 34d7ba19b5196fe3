/** The masters' own queues, whose entries are jobs: `background-queue.ts` runs them. */
export const MERGE_QUEUE = 'merge'
export const WEBHOOK_QUEUE = 'webhook'
export const JOB_QUEUES: string[] = [MERGE_QUEUE, WEBHOOK_QUEUE]
