/** A file name from a client is data: what it becomes in a blob's key and in the result. */
const MAX_BLOB_NAME_CHARS = 120
const MAX_SHOWN_CHARS = 255
/** Of a longer name only the end is looked at, which has the extension. */
const MOST_READ_CHARS = 1_000
/** Lies in the same folder as the recording. */
const RESULT_NAME = 'transcription.json'

/** Its last part, in characters that are safe everywhere, with its extension. */
export function blobNameOf(fileName: string): string {
  const safe = lastPart(fileName)
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .replace(/[^A-Za-z0-9_.-]+/g, '_')
    .replace(/^[.-]+|\.+$/g, '')
  const extension = /\.[A-Za-z0-9]{1,10}$/.exec(safe)?.[0] ?? ''
  const stem = safe.slice(0, safe.length - extension.length).slice(0, MAX_BLOB_NAME_CHARS - extension.length)
  const name = `${/[A-Za-z0-9]/.test(stem) ? stem : 'recording'}${extension}`
  return name === RESULT_NAME ? `upload-${name}` : name
}

/** As the client wrote it, without folders and control characters. */
export function shownNameOf(fileName: string): string {
  return lastPart(fileName).replace(/\p{C}/gu, '').slice(0, MAX_SHOWN_CHARS) || 'recording'
}

function lastPart(fileName: string): string {
  return fileName.slice(-MOST_READ_CHARS).split(/[/\\]/).at(-1) ?? ''
}
