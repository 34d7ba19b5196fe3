import type { Database, UnitRow } from '../database/schema.ts'
import { toChunkResult } from '../transcription/job.ts'
import { segmentsOfChunk, type TranscriptSegment } from '../transcription/merge.ts'

/** Where the next segment is: `segment` counts those of `chunk` that were told. */
export interface SegmentPlace {
  chunk: number
  segment: number
}

/** Of every chunk before which none is open; one chunk's output in memory at a time. */
export async function* newSegments(
  db: Database,
  jobId: string,
  place: SegmentPlace
): AsyncGenerator<TranscriptSegment> {
  const job = await db.selectFrom('jobs').select('input').where('id', '=', jobId).executeTakeFirst()
  const withWords = job?.input.word_timestamps !== false
  for (;;) {
    const unit = await chunkOf(db, jobId, place.chunk)
    if (!unit || unit.status === 'QUEUED' || unit.status === 'RUNNING') return
    const segments = unit.status === 'DONE' ? segmentsOfChunk(toChunkResult(unit)) : []
    for (const segment of segments.slice(place.segment)) {
      place.segment += 1
      yield withWords ? segment : { ...segment, words: [] }
    }
    place.chunk += 1
    place.segment = 0
  }
}

async function chunkOf(db: Database, jobId: string, index: number): Promise<UnitRow | undefined> {
  return await db
    .selectFrom('units')
    .selectAll()
    .where('job_id', '=', jobId)
    .where('task', '=', 'transcribe.chunk')
    .where('index', '=', index)
    .executeTakeFirst()
}
