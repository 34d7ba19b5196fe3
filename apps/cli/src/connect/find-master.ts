/** Where the master is and the key for it: flags, then the environment, then the data folder of this machine. */
import type { Config } from '@sc/shared/config.ts'
import { dataDir, readFileIfAny, readMasterFile } from '@sc/shared/data-dir.ts'
import { ScError } from '@sc/shared/errors.ts'

export interface MasterAddress {
  readonly url: string
  readonly key: string
}

export function findMaster(config: Config, keyFile?: string): MasterAddress {
  return { url: findUrl(config), key: findKey(config, keyFile) }
}

function findUrl({ masterUrl, dataDir: root }: Config): string {
  const url = masterUrl ?? readMasterFile(dataDir(root))?.httpUrl
  if (url) return url.replace(/\/+$/, '')
  throw new ScError(
    'SC_CONFIG',
    `No master runs with the data folder ${root}. Start one with \`npm run quickstart\` or \`pnpm start:master\`, ` +
      'or name it with --master URL (or SC_MASTER_URL); --data-dir DIR names another data folder.'
  )
}

function findKey({ adminKey, dataDir: root }: Config, keyFile?: string): string {
  if (keyFile) {
    const key = readFileIfAny(keyFile)?.trim()
    if (key) return key
    throw new ScError('SC_CONFIG', `--key-file ${keyFile}: there is no key in that file.`)
  }
  const key = adminKey ?? readFileIfAny(dataDir(root).adminKey)?.trim()
  if (key) return key
  throw new ScError(
    'SC_CONFIG',
    `There is no key in ${dataDir(root).adminKey}. Set SC_ADMIN_KEY, or name a file that holds the key with --key-file.`
  )
}
