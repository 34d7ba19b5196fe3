import { dirname, resolve } from 'node:path'
import type { Config } from '@sc/shared/config.ts'
import { type DataDir, readMasterFile } from '@sc/shared/data-dir.ts'
import { ScError } from '@sc/shared/errors.ts'
import type { Identity } from './identity.ts'

/**
 * The address of Redis: what is configured, else the broker that this worker was once enrolled at, else the master of
 * this machine.
 */
export function findBroker(config: Config, dir: DataDir, identity: Identity | undefined): string {
  const broker = config.broker ?? identity?.broker ?? readMasterFile(dir)?.redisUrl
  if (broker) return broker
  throw new ScError(
    'SC_CONFIG',
    `There is no master in ${resolve(dirname(dir.master))}: start one there (pnpm start:master), or give --broker redis://….`
  )
}
