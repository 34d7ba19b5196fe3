import { type Logger, pino, stdSerializers } from 'pino'
import { printableJson } from './printable.ts'

export type { Logger } from 'pino'

/** `redis://user:secret@host` and its like, `Bearer KEY`, and the key of an Azure connection string. */
const SECRETS: Array<[RegExp, string]> = [
  [/(\b[a-z][a-z0-9+.-]*:\/\/[^\s:/@"]*):[^\s@/"]+@/gi, '$1:***@'],
  [/\b(bearer)\s+[\w.~+/=-]+/gi, '$1 ***'],
  [/\b(AccountKey|SharedAccessSignature|sig)=[^;&\s]+/gi, '$1=***']
]

/** Text that may be shown: without the passwords of addresses, keys and tokens. */
export function withoutSecrets(text: string): string {
  return SECRETS.reduce((shown, [secret, replacement]) => shown.replace(secret, replacement), text)
}

/** A process's logger: JSON lines on stderr (stdout belongs to what a command prints). */
export function createLog(name: string, level: string, destination?: { write(line: string): void }): Logger {
  const options = {
    name,
    level,
    redact: {
      paths: [
        'authorization',
        '*.authorization',
        '*.headers.authorization',
        '*.headers.cookie',
        '*.password',
        'password'
      ],
      censor: '***'
    },
    serializers: { err: stdSerializers.errWithCause },
    // The whole line, once: a secret, or what a terminal takes for a command, may stand in any message, error or field.
    hooks: { streamWrite: (line: string) => printableJson(withoutSecrets(line)) }
  }
  return destination ? pino(options, destination) : pino(options, pino.destination({ dest: 2, sync: true }))
}
