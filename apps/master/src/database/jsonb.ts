/**
 * A value as text for a jsonb column. PostgreSQL keeps neither NUL nor half a surrogate pair, which a task may well send:
 * each becomes U+FFFD.
 */
export function toJsonb(value: unknown): string {
  return storableJson(JSON.stringify(value))
}

/** The same of what `JSON.stringify` made. Either is an escape with u there, which few texts have. */
export function storableJson(json: string): string {
  if (!json.includes('\\u')) return json
  return json.replace(/\\(?:u0000|u[dD][89a-fA-F][0-9a-fA-F]{2}|.)/g, escaped =>
    escaped.length > 2 ? '\ufffd' : escaped
  )
}

/** The same for a column of text. */
export function storableText(text: string): string {
  return text.replaceAll('\0', '\ufffd').toWellFormed()
}
