/**
 * What a task or a job may be called: a part of addresses, and of the names of queues. Python's `registry.py` has the
 * same, and `python-gpu/tests/names.json` holds both to it.
 */
export const TASK_NAME = /^[a-z][a-z0-9.-]{0,62}$/
export const TASK_NAME_RULE = `expected 1 to 63 of a-z, 0-9, '.' and '-', beginning with a letter`

/** Steps of a transcription, which every worker has: they need files that only its plan makes. */
export function isStepOfTranscription(name: string): boolean {
  return name.startsWith('transcribe.')
}
