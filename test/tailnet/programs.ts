import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { accessSync, constants, existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { childEnv, REPO_DIR } from '@sc/shared/config.ts'

/** What a tailnet of our own runs: Tailscale's daemon and command, and a control server around its test server. */
export interface Programs {
  tailscaled: string
  tailscale: string
  control: string
}

const NAMES = ['tailscaled', 'tailscale', 'control'] as const
const SOURCE = join(import.meta.dirname, 'control')
const PACKAGES = ['tailscale.com/cmd/tailscaled', 'tailscale.com/cmd/tailscale', '.']

/** Why a tailnet cannot be made on this machine, or null. */
export function whyNoTailnet(): string | null {
  if (process.platform !== 'linux') return 'network namespaces are a thing of Linux'
  if (process.getuid?.() !== 0) return 'it makes network namespaces, which needs root'
  if (!mayOpen('/dev/net/tun')) return 'there is no /dev/net/tun'
  if (!answers('ip', ['-V'])) return 'there is no ip command (install iproute2)'
  const name = `sct-${process.pid}-try`
  if (!answers('ip', ['netns', 'add', name])) return 'this machine does not let us make a network namespace'
  execFileSync('ip', ['netns', 'del', name])
  if (!isBuilt() && !findGo()) return 'Tailscale is not built yet, and there is no Go to build it'
  return null
}

/** Builds them once for each version of their source: some minutes of both cores, a second time seconds. */
export function buildPrograms(): Programs {
  const folder = programFolder()
  if (!isBuilt()) {
    const go = findGo()
    if (!go) throw new Error('there is no Go')
    const building = `${folder}.${process.pid}`
    mkdirSync(building, { recursive: true })
    const version = /^require tailscale\.com v(\S+)$/m.exec(readFileSync(join(SOURCE, 'go.mod'), 'utf8'))?.[1]
    const stamp = ['short', 'long'].map(name => `-X tailscale.com/version.${name}Stamp=${version}`).join(' ')
    execFileSync(
      'nice',
      [
        '-n',
        '10',
        go,
        'build',
        '-trimpath',
        '-buildvcs=false',
        '-o',
        `${building}/`,
        `-ldflags=-s -w ${stamp}`,
        ...PACKAGES
      ],
      { cwd: SOURCE, stdio: 'inherit', env: childEnv({ GOTOOLCHAIN: 'local', CGO_ENABLED: '0' }) }
    )
    renameSync(building, folder)
  }
  return Object.fromEntries(NAMES.map(name => [name, join(folder, name)])) as unknown as Programs
}

function programFolder(): string {
  const hash = createHash('sha256')
  for (const name of ['main.go', 'go.mod', 'go.sum']) hash.update(readFileSync(join(SOURCE, name)))
  return join(REPO_DIR, '.cache/tailnet', hash.digest('hex').slice(0, 12))
}

const isBuilt = (): boolean => NAMES.every(name => existsSync(join(programFolder(), name)))
const findGo = (): string | undefined => ['go', '/usr/local/go/bin/go'].find(go => answers(go, ['version']))
const answers = (program: string, args: string[]): boolean => spawnSync(program, args, { stdio: 'ignore' }).status === 0

function mayOpen(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK)
    return true
  } catch {
    return false
  }
}
