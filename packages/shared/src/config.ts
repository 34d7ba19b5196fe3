import { existsSync, readFileSync } from 'node:fs'
import { getCompileCacheDir } from 'node:module'
import { homedir } from 'node:os'
import { dirname, resolve } from 'node:path'
import { parseEnv } from 'node:util'
import { z } from 'zod'
import { ScError } from './errors.ts'
import { nearNames } from './near-names.ts'

/**
 * The environment, parsed once. The only file that reads `process.env`. A name that starts with `SC_` and is not listed
 * here is an error, so that a slip of the pen is not silently the default.
 */
export const REPO_DIR = resolve(import.meta.dirname, '../../..')

/** A number written with digits only, so that `0x10`, `1e3` and ` ` do not pass. */
const wholeNumber = (least: number, most: number) =>
  z
    .string()
    .refine(text => /^\d{1,16}$/.test(text) && Number(text) >= least && Number(text) <= most, {
      error: `expected a whole number from ${least} to ${most}`
    })
    .transform(Number)

const url = (...schemes: string[]) =>
  z.string().refine(text => URL.canParse(text) && schemes.includes(new URL(text).protocol.replace(':', '')), {
    error: `expected an address that starts with ${schemes.map(scheme => `${scheme}://`).join(' or ')}`
  })

/** With the number of a database behind the host, or without: 0 then. */
const redisUrl = url('redis', 'rediss')
  .refine(text => !URL.canParse(text) || /^\/?(\d{1,5})?$/.test(new URL(text).pathname), {
    error: 'expected nothing behind the host but the number of a database, as in redis://host:6379/3'
  })
  .refine(isDecodable, { error: 'expected a % of the user or the password as %25, and an @ as %40' })

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}

/** A folder as it is written in a shell, which does not read `.env`. */
const folderPath = z.string().transform(text => text.replace(/^~(?=[\\/]|$)/, () => homedir()))

const oneOf = <const T extends readonly [string, ...string[]]>(...names: T) =>
  z.enum(names, { error: `expected one of ${names.join(', ')}` })

const connectionString = z.string().regex(/UseDevelopmentStorage=true|AccountName=/i, {
  error: 'expected an Azure storage connection string with AccountName=…'
})

const loginNames = z
  .string()
  .transform(text => text.split(',').map(name => name.trim()))
  .refine(names => names.every(name => name === 'owner' || /^[^@\s]+@[^@\s]+$/.test(name)), {
    error: 'expected login names of Tailscale such as ann@example.com, or owner, with commas between'
  })

const VARIABLES = {
  SC_DATA_DIR: folderPath.default('./data'),
  // As it is in an address, where a machine is called by its IPv6.
  SC_HOST: z
    .string()
    .transform(text => text.replace(/^\[(.*)\]$/, '$1'))
    .optional(),
  SC_PORT: wholeNumber(0, 65_535).default(5080),
  SC_MODE: oneOf('auto', 'local', 'lan', 'tailscale').default('auto'),
  SC_ADMIN_KEY: z
    .string()
    .min(16, 'expected at least 16 characters')
    // What a header can carry: with another it could never be shown.
    .regex(/^[!-~]*$/, 'expected letters, digits and signs of ASCII, without spaces')
    .optional(),
  REDIS_URL: redisUrl.optional(),
  DATABASE_URL: url('postgres', 'postgresql').optional(),
  AZURE_STORAGE_CONNECTION_STRING: connectionString.optional(),
  AZURITE_CONN_STR: connectionString.optional(),
  SC_DEFAULT_MODEL: z.string().optional(),
  SC_MODELS_DIR: folderPath.optional(),
  SC_CHUNK_SECONDS: wholeNumber(30, 3600).default(150),
  SC_MAX_UPLOAD_BYTES: wholeNumber(1, Number.MAX_SAFE_INTEGER).default(1024 ** 3),
  SC_MAX_INPUT_BYTES: wholeNumber(64 * 1024, 32 * 1024 ** 2).default(16 * 1024 ** 2),
  SC_RETENTION_DAYS: wholeNumber(1, 36_500).optional(),
  SC_RETENTION_BYTES: wholeNumber(1, Number.MAX_SAFE_INTEGER).optional(),
  SC_TASKS_DIR: folderPath.optional(),
  SC_BROKER: redisUrl.optional(),
  SC_MASTER_URL: url('http', 'https').optional(),
  TS_SOCKET: z.string().optional(),
  SC_TAILNET_LOGIN: loginNames.default([]),
  LOG_LEVEL: oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent').default('info')
} as const

export type VariableName = keyof typeof VARIABLES
type Environment = Readonly<Record<string, string | undefined>>
const schema = z.object(VARIABLES)

/** Every setting of a process. Folders are absolute paths. */
export interface Config {
  readonly dataDir: string
  /** HTTP listens there alone; undefined: where the mode says. */
  readonly host: string | undefined
  /** 0: any free port. */
  readonly port: number
  readonly mode: 'auto' | 'local' | 'lan' | 'tailscale'
  readonly adminKey: string | undefined
  /** Undefined: the master starts its own Redis. */
  readonly redisUrl: string | undefined
  /** Undefined: the master starts its own PostgreSQL. */
  readonly databaseUrl: string | undefined
  /** Undefined: blobs are files in the data folder. */
  readonly azureConnectionString: string | undefined
  /** Undefined: chosen by language and hardware. */
  readonly defaultModel: string | undefined
  readonly modelsDir: string
  readonly chunkSeconds: number
  readonly maxUploadBytes: number
  /** Of the body of a request with a task's input. */
  readonly maxInputBytes: number
  /** Ended jobs are forgotten after so many days; undefined: never. */
  readonly retentionDays: number | undefined
  /** Recordings and results of ended jobs, all together; beyond, the oldest are forgotten. Undefined: no limit. */
  readonly retentionBytes: number | undefined
  readonly tasksDir: string | undefined
  readonly broker: string | undefined
  readonly masterUrl: string | undefined
  /** Where tailscaled listens; undefined: where it does by default. */
  readonly tailscaleSocket: string | undefined
  /** Users of this tailnet who are let in without the login link, by login name; `owner`: whose machine this is. */
  readonly tailnetLogin: readonly string[]
  readonly logLevel: z.infer<typeof VARIABLES.LOG_LEVEL>
}

/**
 * `overrides` are command-line flags under the name of their variable and win over `env`. An empty value counts as not
 * set, as compose files write it. Throws SC_CONFIG with one message that names every bad variable, never its value.
 */
export function parseConfig(
  env: Environment,
  overrides: Partial<Record<VariableName, string | undefined>> = {},
  folder: string = process.cwd()
): Config {
  const given = { ...withValue(env), ...withValue(overrides) }
  const problems = Object.keys(given).flatMap(unknownName)
  const parsed = schema.safeParse(given)
  for (const issue of parsed.error?.issues ?? []) problems.push(`${issue.path.join('.')}: ${issue.message}`)
  const azure = given.AZURE_STORAGE_CONNECTION_STRING ?? given.AZURITE_CONN_STR
  if (given.AZURITE_CONN_STR !== undefined && given.AZURITE_CONN_STR !== azure)
    problems.push('AZURITE_CONN_STR: is another name of AZURE_STORAGE_CONNECTION_STRING and differs from it')
  if (!parsed.success || problems.length > 0)
    throw new ScError('SC_CONFIG', `The configuration is not valid.\n${problems.map(line => `  ${line}`).join('\n')}`)
  const value = parsed.data
  return Object.freeze({
    dataDir: resolve(folder, value.SC_DATA_DIR),
    host: value.SC_HOST,
    port: value.SC_PORT,
    mode: value.SC_MODE,
    adminKey: value.SC_ADMIN_KEY,
    redisUrl: value.REDIS_URL,
    databaseUrl: value.DATABASE_URL,
    azureConnectionString: azure,
    defaultModel: value.SC_DEFAULT_MODEL,
    // Models are large and can be had again: one copy for every data folder.
    modelsDir: value.SC_MODELS_DIR ? resolve(folder, value.SC_MODELS_DIR) : resolve(REPO_DIR, '.cache/models'),
    chunkSeconds: value.SC_CHUNK_SECONDS,
    maxUploadBytes: value.SC_MAX_UPLOAD_BYTES,
    maxInputBytes: value.SC_MAX_INPUT_BYTES,
    retentionDays: value.SC_RETENTION_DAYS,
    retentionBytes: value.SC_RETENTION_BYTES,
    tasksDir: value.SC_TASKS_DIR ? resolve(folder, value.SC_TASKS_DIR) : undefined,
    broker: value.SC_BROKER,
    masterUrl: value.SC_MASTER_URL,
    tailscaleSocket: value.TS_SOCKET,
    tailnetLogin: value.SC_TAILNET_LOGIN,
    logLevel: value.LOG_LEVEL
  })
}

/** The configuration of this process: flags, then the environment, then `.env` in the working folder. */
export function loadConfig(overrides: Partial<Record<VariableName, string | undefined>> = {}): Config {
  const dotenv = existsSync('.env') ? parseEnv(textOf(readFileSync('.env'))) : {}
  return parseConfig({ ...dotenv, ...process.env }, overrides)
}

const SECRETS =
  /^(SC_ADMIN_KEY|SC_BROKER|REDIS_URL|DATABASE_URL|AZURE_STORAGE_CONNECTION_STRING|AZURITE_CONN_STR|TS_AUTHKEY|GF_ADMIN_PASSWORD)$/

/** Editors and shells of Windows write `.env` in UTF-16, or with a mark of its encoding before the first name. SC_CONFIG. */
function textOf(bytes: Buffer): string {
  const encoding =
    bytes[0] === 0xff && bytes[1] === 0xfe ? 'utf-16le' : bytes[0] === 0xfe && bytes[1] === 0xff ? 'utf-16be' : 'utf-8'
  try {
    const text = new TextDecoder(encoding, { fatal: true }).decode(bytes)
    if (!text.includes('\0')) return text
  } catch {
    // Said below.
  }
  throw new ScError('SC_CONFIG', `${resolve('.env')} is no text in UTF-8 or UTF-16: save it as UTF-8.`)
}

/** Where programs are. Windows calls it `Path`: no name of `childEnv`, which keeps names as they are written. */
export function searchPath(): string {
  return process.env.PATH ?? ''
}

/** Libraries that else report to their makers, and keep what they have not sent yet under the home folder. */
const NO_TELEMETRY = { DO_NOT_TRACK: '1', ORT_DISABLE_TELEMETRY: '1', HF_HUB_DISABLE_TELEMETRY: '1' }

/** The environment for a child process: this one's, without its secrets, with `extra`. */
export function childEnv(extra: Record<string, string> = {}): Record<string, string> {
  const compiled = getCompileCacheDir()
  // As it was asked for: Node adds a folder of its version.
  const cache: Record<string, string> = compiled ? { NODE_COMPILE_CACHE: dirname(compiled) } : {}
  return { ...withValue(process.env, name => !SECRETS.test(name)), ...NO_TELEMETRY, ...cache, ...extra }
}

/**
 * Answers what makes this process's environment again what it is now, and costs nothing where nobody has changed it: reading
 * all of it takes longer than many a task.
 */
export function keepEnvironment(): () => void {
  const { env } = process
  const before = { ...env }
  let isChanged = false
  process.env = new Proxy(env, {
    set(_, name: string, value) {
      isChanged = true
      env[name] = value
      return true
    },
    deleteProperty(_, name: string) {
      isChanged = true
      return delete env[name]
    },
    defineProperty(_, name, descriptor) {
      isChanged = true
      return Reflect.defineProperty(env, name, descriptor)
    }
  })
  return () => {
    if (!isChanged) return
    isChanged = false
    for (const name of Object.keys(env)) if (!Object.hasOwn(before, name)) delete env[name]
    for (const [name, value] of Object.entries(before)) if (env[name] !== value) env[name] = value
  }
}

function withValue(env: Environment, keep: (name: string) => boolean = () => true): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => Boolean(entry[1]) && keep(entry[0]))
  )
}

function unknownName(name: string): string[] {
  if (!name.startsWith('SC_') || Object.hasOwn(VARIABLES, name)) return []
  const known = Object.keys(VARIABLES).filter(candidate => candidate.startsWith('SC_'))
  const [nearest] = nearNames(name, known)
  return [`${name}: there is no such setting${nearest ? `; did you mean ${nearest}?` : ''}`]
}
