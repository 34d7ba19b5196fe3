import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { NODE, REPO } from './paths.mjs'
import { run, startOfNpm } from './run.mjs'
import { fingerprint, isStamped, stamp } from './stamp.mjs'

export const PNPM = 'pnpm@10.34.9'

/** Every package of the workspace, with a current Node among them; `worker`: what a worker needs, and no more. */
export const nodePackages = ({ worker }) => ({
  title: worker ? 'Node packages, with Node 24' : 'Node packages, with Node 24 and PostgreSQL',
  advice: [
    'Check that this machine reaches the npm registry (a proxy? npm config get registry) and has 2 GB of free disk.',
    'If a package is damaged: remove the folder node_modules and run this again.'
  ],
  // Who has every package has the worker's.
  isCurrent: () =>
    existsSync(NODE) &&
    existsSync(join(REPO, 'node_modules/.modules.yaml')) &&
    (isStamped('node', print()) || (worker && isStamped('node', print('worker')))),
  async run({ say }) {
    // CI: pnpm must not ask whether it may remove packages of another layout.
    const env = { CI: 'true', npm_config_update_notifier: 'false' }
    const { command, args, shell } = startOfNpm('npx', [
      '--yes',
      PNPM,
      'install',
      '--frozen-lockfile',
      ...(worker ? WORKER_ONLY : [])
    ])
    await run(command, args, { env, onLine: say, shell })
    await run(NODE, ['--version'])
    stamp('node', worker ? print('worker') : print())
  }
})

const WORKER_ONLY = ['--prod', '--filter', 'semantics-cluster', '--filter', '@sc/worker...']

/** `kind`: of an installation that has not every package. */
function print(...kind) {
  const manifests = ['apps', 'packages'].flatMap(folder =>
    readdirSync(join(REPO, folder))
      .map(name => `${folder}/${name}/package.json`)
      .filter(path => existsSync(join(REPO, path)))
  )
  return fingerprint(
    ['package.json', 'pnpm-lock.yaml', 'pnpm-workspace.yaml', ...manifests],
    process.platform,
    process.arch,
    ...kind
  )
}
