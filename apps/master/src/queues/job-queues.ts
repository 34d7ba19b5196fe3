/** The masters' own queues, whose entries are jobs: `background-queue.ts` runs them. */
export const MERGE_QUEUE = 'merge'
/** Of jobs of the user's own: a merge that hangs is not to hold up a transcription. */
export const OWN_MERGE_QUEUE = 'merge-own'
export const JOB_QUEUES: string[] = [MERGE_QUEUE, OWN_MERGE_QUEUE]
