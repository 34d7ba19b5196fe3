/**
 * The one place that prints what others may have written: titles, details, names, transcripts. A terminal takes control
 * characters for commands (colours, its title, its clipboard), and marks of direction make text look like other text.
 * Everything that `sc` and `sc-worker` print goes through here; files get what there is as it is.
 */

/** C0 (ESC, BEL, …), DEL and C1 (U+009B is ESC and [ in one), line ends that are none of ASCII, and turns of direction. */
const COMMANDS = /[\p{Cc}\u2028-\u202e\u2066-\u206f]+/gu
/** The same, without the two that lay text out. */
const COMMANDS_IN_TEXT = /(?:(?![\n\t])[\p{Cc}\u2028-\u202e\u2066-\u206f])+/gu
/** Marks of direction within words of Arabic or Hebrew. */
const MARKS = /[\u061c\u200e\u200f]+/gu
/** Of these, those that JSON.stringify leaves as they are. */
const UNESCAPED = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f]/gu

/** Text of others as one line, without what a terminal takes for commands. */
export function printable(text: string): string {
  return text.replace(MARKS, '').replace(COMMANDS, ' ')
}

/** The same for text of several lines: it keeps its line ends and tabs. */
export function printableText(text: string): string {
  return text.replaceAll('\r\n', '\n').replace(MARKS, '').replace(COMMANDS_IN_TEXT, ' ')
}

/** JSON with the same value, in which all those characters are escapes. */
export function printableJson(json: string): string {
  return json.replace(UNESCAPED, mark => `\\u${mark.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** Prints text, as it is but for what a terminal takes for commands. */
export function print(text: string): void {
  process.stdout.write(printableText(text))
}

/** The same to stderr, for what is not the command's result. */
export function printError(text: string): void {
  process.stderr.write(printableText(text))
}

/** Prints a value as JSON for programs. */
export function printJson(value: unknown, indent = 2): void {
  process.stdout.write(`${printableJson(JSON.stringify(value, null, indent) ?? 'null')}\n`)
}
