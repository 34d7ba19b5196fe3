import { hostname } from 'node:os'
import { type Config, loadConfig } from '@sc/shared/config.ts'
import { WORKER_NAME, WORKER_NAME_RULE } from '@sc/shared/enrol-request.ts'
import { ScError } from '@sc/shared/errors.ts'
import { checkTasksDir } from '@sc/shared/task-files.ts'
import type { SlotWishes } from '../probe/slot-plan.ts'
import { parseQuietHours, type QuietHours } from '../slots/quiet-hours.ts'

/** Flags of every command, as commander gives them. */
export interface Flags {
  broker?: string
  name?: string
  concurrency?: string
  queues?: string
  gpus?: string
  logLevel?: string
  dataDir?: string
  quietHours?: string
  exitWithParent?: boolean
}

export interface Settings {
  config: Config
  name: string
  wishes: SlotWishes
  quietHours: QuietHours[]
}

export const NO_TASKS_DIR = 'SC_TASKS_DIR is not set: it names the folder with your tasks.'

/** Flags and environment together. SC_CONFIG names what is wrong. */
export function readSettings(flags: Flags): Settings {
  const config = loadConfig({ SC_BROKER: flags.broker, LOG_LEVEL: flags.logLevel, SC_DATA_DIR: flags.dataDir })
  const name = flags.name ?? nameOfMachine()
  if (!WORKER_NAME.test(name)) throw new ScError('SC_CONFIG', `--name ${name}: expected ${WORKER_NAME_RULE}.`)
  checkTasksDir(config.tasksDir)
  const wishes: SlotWishes = {}
  if (flags.concurrency !== undefined) wishes.concurrency = parseConcurrency(flags.concurrency)
  if (flags.queues !== undefined) wishes.queues = parseList('--queues', flags.queues, /^[a-z][\w.+-]*$/)
  if (flags.gpus !== undefined) wishes.gpus = parseList('--gpus', flags.gpus, /^(\d+|GPU-[\w-]+)$/)
  const quietHours = flags.quietHours === undefined ? [] : parseQuietHours(flags.quietHours)
  return { config, name, wishes, quietHours }
}

/** The machine's name, as far as it can be a worker's. */
function nameOfMachine(): string {
  const name = (hostname().split('.')[0] ?? '')
    .replaceAll(/[^\w-]+/g, '-')
    .replace(/^-+/, '')
    .slice(0, 63)
  return name || 'worker'
}

function parseConcurrency(text: string): number {
  if (/^\d{1,3}$/.test(text)) return Number(text)
  throw new ScError('SC_CONFIG', `--concurrency ${text}: expected a number of CPU lanes, 0 to 999.`)
}

function parseList(flag: string, text: string, shape: RegExp): string[] {
  const items = text.split(',').map(item => item.trim())
  const bad = items.find(item => !shape.test(item))
  if (bad === undefined) return [...new Set(items)]
  throw new ScError('SC_CONFIG', `${flag} ${text}: '${bad}' is not one of a list like 'cpu,gpu' or '0,1'.`)
}
