import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

const inFolder = (name: string, folder: string, more: object = {}) => ({
  extends: true as const,
  test: { name, include: [`${folder}/test/**/*.test.ts`], sequence: { groupOrder: 0 }, ...more }
})

const ALONE = ['attacks', 'mixed-cluster', 'slow-link'].map(name => `test/${name}.test.ts`)

const cluster = (name: string, groupOrder: number, more: object) => ({
  extends: true as const,
  test: { name, testTimeout: 600_000, hookTimeout: 300_000, sequence: { groupOrder }, ...more }
})

export default defineConfig({
  test: {
    // Real processes: a test file starts servers, ffmpeg and Python of its own.
    pool: 'forks',
    // They wait more than they compute.
    maxWorkers: 3,
    setupFiles: [join(import.meta.dirname, 'test/no-child-left.ts')],
    // Nobody listens there: an LLM server of the machine is no part of a test.
    env: { OLLAMA_HOST: '127.0.0.1:1' },
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Other test files may have both cores just then.
    expect: { poll: { timeout: 15_000, interval: 20 } },
    projects: [
      inFolder('bootstrap', 'bootstrap'),
      inFolder('shared', 'packages/shared'),
      inFolder('worker', 'apps/worker'),
      inFolder('cli', 'apps/cli'),
      inFolder('master', 'apps/master', { globalSetup: 'apps/master/test/global-setup.ts' }),
      // Whole clusters with speech models. Two at a time, but for those that measure.
      cluster('cluster', 1, { include: ['test/**/*.test.ts'], exclude: ALONE, maxWorkers: 2 }),
      cluster('alone', 2, { include: ALONE, fileParallelism: false })
    ]
  }
})
