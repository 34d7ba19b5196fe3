/**
 * A value as text for a jsonb column. PostgreSQL keeps neither NUL nor half a surrogate pair, which a task may well send:
 * each becomes U+FFFD.
 */
export function toJsonb(value: unknown): string {
  return storableJson(JSON.stringify(value))
}

const KEPT_NOWHERE = /\\u(?:0000|[dD][89a-fA-F][0-9a-fA-F]{2})/g
const BACKSLASH = '\\'.charCodeAt(0)

/** The same of what `JSON.stringify` made. Either is an escape with u there, which few texts have. */
export function storableJson(json: string): string {
  return json.replace(KEPT_NOWHERE, (found, at: number) => (isEscaped(json, at) ? found : '\ufffd'))
}

/** Whether what stands there is text behind a backslash, and no escape: each two backslashes are one of the text. */
function isEscaped(json: string, at: number): boolean {
  let before = at
  while (json.charCodeAt(before - 1) === BACKSLASH) before--
  return (at - before) % 2 === 1
}

/** The same for a column of text. */
export function storableText(text: string): string {
  return text.replaceAll('\0', '\ufffd').toWellFormed()
}
