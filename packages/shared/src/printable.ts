// Control characters, those that turn the direction of text around, and line ends that are none of ASCII.
const COMMANDS = /[\p{Cc}\u2028-\u202e\u2066-\u2069]+/gu

/** Text of another machine for a terminal: one line, without what a terminal takes for commands. */
export function printable(text: string): string {
  return text.replace(COMMANDS, ' ')
}
