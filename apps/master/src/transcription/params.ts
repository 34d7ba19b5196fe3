import { ScError } from '@sc/shared/errors.ts'
import { isEnglishOnly } from '@sc/shared/transcription.ts'
import { z } from 'zod'
import { refuseUrl } from '../outbound/public-address.ts'
import { languageCodeOf } from './languages.ts'
import { knownModels } from './models.ts'

/** What `POST /transcribe` takes besides the file; multipart fields arrive as text. Kept as the job's `input`. */
const MAX_PROMPT_CHARS = 2_000
/** More would leave no place for the prompt, and bring words that nobody said. */
const MAX_HOTWORDS_CHARS = 300

/** `''` is what a form sends for a field that was left empty. */
const orDefault = (text: unknown) => (text === '' ? undefined : text)

/** What people type where one of a few words is expected: `Left`, ` on `. */
const plain = (text: unknown) => (typeof text === 'string' ? text.trim().toLowerCase() : text)

const FLAGS = new Map<unknown, boolean>([
  ...['true', '1', 'on', 'yes'].map((text): [string, boolean] => [text, true]),
  ...['false', '0', 'off', 'no'].map((text): [string, boolean] => [text, false])
])
const flag = z.preprocess(text => FLAGS.get(plain(text)) ?? text, z.boolean('expected true or false'))

const SIDES = ['mix', 'left', 'right'] as const
const CHANNEL_HINT = `expected ${SIDES.join(', ')}, or a number from 0 to 63`

const NUMBER = /^[-+]?(\d+(\.\d*)?|\.\d+)$/
const number = (least: number, most: number, whole: boolean) =>
  z.preprocess(
    text => (typeof text === 'string' && NUMBER.test(text.trim()) ? Number(text) : text),
    (whole ? z.int(`expected a whole number from ${least} to ${most}`) : z.number(`expected ${least} to ${most}`))
      .min(least, `expected at least ${least}`)
      .max(most, `expected at most ${most}`)
  )

const text = (maxChars: number) =>
  z
    .string()
    .max(maxChars, `expected at most ${maxChars} characters`)
    // A NUL byte cannot be stored in PostgreSQL.
    .refine(value => !value.includes('\0'), 'may not contain a NUL byte')

const optional = <T extends z.ZodType>(schema: T) => z.preprocess(orDefault, schema.nullable().default(null))

/** `chunkSeconds` is what a chunk is about long when the client does not say. */
export function transcribeParamsSchema(chunkSeconds: number) {
  return z.strictObject({
    model: z
      .preprocess(model => (plain(model) === 'auto' ? 'auto' : orDefault(model)), text(100).default('auto'))
      .describe('`auto`, or the name of a faster-whisper model, or of a folder in SC_MODELS_DIR'),
    language: optional(text(50).transform(toLanguageCode)).describe(
      'Code or tag (`de`, `deu`, `de-AT`) or English name; left out, or `auto`: detected'
    ),
    task: z.preprocess(
      orDefault,
      z.preprocess(plain, z.enum(['transcribe', 'translate'], 'expected transcribe or translate')).default('transcribe')
    ),
    prompt: optional(text(MAX_PROMPT_CHARS)).describe(
      'Text in the style and with the names of the recording; of a long one the last 200 words or so count'
    ),
    hotwords: optional(text(MAX_HOTWORDS_CHARS)).describe(`Words to prefer, at most ${MAX_HOTWORDS_CHARS} characters`),
    word_timestamps: z.preprocess(orDefault, flag.default(true)).describe('Whether the result has times of words'),
    temperature: z.preprocess(orDefault, number(0, 1, false).default(0)),
    priority: z
      .preprocess(orDefault, number(0, 100, true).default(0))
      .describe('0 to 100; jobs of a higher priority go first, within one priority the older goes first'),
    webhook_url: optional(text(2_000).transform(toWebhookUrl)).describe('Told by POST when the job has ended'),
    channel: z
      .preprocess(
        orDefault,
        z.union([z.preprocess(plain, z.enum(SIDES)), number(0, 63, true)], CHANNEL_HINT).default('mix')
      )
      .transform(channel => (channel === 'left' ? 0 : channel === 'right' ? 1 : channel))
      .describe('`mix`, `left`, `right`, or a number from 0'),
    track: optional(number(0, 99, true)).describe(
      'Of a file with several audio tracks: a number from 0; left out: its default track, else the first with speech'
    ),
    chunk_seconds: z
      .preprocess(orDefault, number(10, 900, true).default(chunkSeconds))
      .describe('About how long the parts are that are spread over the machines; changes nothing in the text'),
    reuse: z
      .preprocess(orDefault, flag.default(true))
      .describe('false: do the work anew even if the same audio was done before')
  })
}

export type TranscribeParams = z.output<ReturnType<typeof transcribeParamsSchema>>

/** Throws SC_BAD_REQUEST that names each bad field, SC_UNKNOWN_MODEL, SC_LANGUAGE_NOT_SUPPORTED. */
export async function parseTranscribeParams(
  fields: Record<string, string>,
  { chunkSeconds, modelsDir }: { chunkSeconds: number; modelsDir: string }
): Promise<TranscribeParams> {
  const parsed = transcribeParamsSchema(chunkSeconds).safeParse(fields)
  if (!parsed.success) {
    const problems = parsed.error.issues.map(issue => `${issue.path.join('.') || 'fields'}: ${issue.message}`)
    throw new ScError('SC_BAD_REQUEST', problems.join('; '))
  }
  await checkModel(parsed.data, modelsDir)
  return parsed.data
}

async function checkModel({ model, language, task }: TranscribeParams, modelsDir: string): Promise<void> {
  if (model === 'auto') return
  const known = await knownModels(modelsDir)
  if (!known.includes(model))
    throw new ScError('SC_UNKNOWN_MODEL', `There is no model "${model}". Known are auto, ${known.join(', ')}.`)
  if (!isEnglishOnly(model)) return
  if (language !== null && language !== 'en')
    throw new ScError('SC_LANGUAGE_NOT_SUPPORTED', `${model} knows only English. Use model=auto for "${language}".`)
  if (task === 'translate')
    throw new ScError('SC_LANGUAGE_NOT_SUPPORTED', `${model} knows only English and cannot translate. Use model=auto.`)
}

function toLanguageCode(value: string, context: z.RefinementCtx): string | null {
  if (plain(value) === 'auto') return null
  const code = languageCodeOf(value)
  if (code !== undefined) return code
  context.addIssue(
    `"${value}" is not a language that Whisper knows: expected a code such as en or en-US, its name, or auto`
  )
  return z.NEVER
}

function toWebhookUrl(value: string, context: z.RefinementCtx): string {
  const refusal = URL.canParse(value) ? refuseUrl(new URL(value)) : 'expected an http or https address'
  if (refusal === null) return value
  context.addIssue(refusal)
  return z.NEVER
}
