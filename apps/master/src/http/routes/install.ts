import { readFile } from 'node:fs/promises'
import { JOIN_USER } from '@sc/shared/enrol-request.ts'
import { ScError } from '@sc/shared/errors.ts'
import { z } from 'zod'
import { brokerWith } from '../../cluster/join-command.ts'
import { createPackedWorker } from '../../cluster/packed-worker.ts'
import type { App, AppDeps } from '../app-deps.ts'
import { bearerOf } from '../auth.ts'
import { problems, sendProblem, toProblem } from '../problem.ts'

const tags = ['cluster']
const text = (description: string) => ({ 200: { description, content: { 'text/plain': { schema: z.string() } } } })
const ARCHIVE = { 'application/gzip': { schema: z.any().meta({ type: 'string', format: 'binary' }) } }

/** What a machine without this project fetches to become a worker, by its join code, which stays good for joining. */
export function addInstall(app: App, { place }: Pick<AppDeps, 'place'>): void {
  const packed = createPackedWorker()

  async function script(name: string, code: string): Promise<string> {
    const { masterUrl, brokerUrl } = place()
    const values = {
      MASTER: masterUrl,
      BROKER: brokerWith(brokerUrl, code),
      CODE: code,
      SHA256: (await packed()).sha256
    }
    const template = await readFile(new URL(`../install/${name}`, import.meta.url), 'utf8')
    return template.replaceAll(/@([A-Z\d]+)@/g, (_, key: keyof typeof values) => quotable(values[key]))
  }

  app.get('/worker/install.sh', {
    config: { scope: 'join' },
    schema: {
      summary: 'Installs a worker on Linux or macOS',
      description: 'With a join code, errors are answered by a script that says what is wrong.',
      tags,
      response: { ...text('A script for sh'), ...problems('SC_JOIN_CODE_USED', 'SC_JOIN_CODE_EXPIRED') }
    },
    handler: async (request, reply) => reply.type('text/plain').send(await script('install.sh', bearerOf(request))),
    // The line pipes it into a shell, which is to say what is wrong.
    errorHandler: async (thrown, request, reply) => {
      const error = toProblem(thrown, request)
      if (!JOIN_USER.test(bearerOf(request).split(':')[0] ?? '')) return await sendProblem(reply, error)
      return reply
        .status(error.status)
        .type('text/plain')
        .send(`echo ${quoted(`sc-worker was not installed: ${error.message}`)} >&2\nexit 1\n`)
    }
  })

  app.get('/worker/install.ps1', {
    config: { scope: 'join' },
    schema: {
      summary: 'Installs a worker on Windows',
      tags,
      response: { ...text('A script for PowerShell'), ...problems('SC_JOIN_CODE_USED', 'SC_JOIN_CODE_EXPIRED') }
    },
    handler: async (request, reply) => reply.type('text/plain').send(await script('install.ps1', bearerOf(request)))
  })

  app.get('/worker/worker.tar.gz', {
    config: { scope: 'join' },
    schema: {
      summary: 'The worker, packed',
      description: 'Its files; what they need comes from package managers.',
      tags,
      response: {
        200: { description: 'A .tar.gz', content: ARCHIVE },
        ...problems('SC_JOIN_CODE_USED', 'SC_JOIN_CODE_EXPIRED')
      }
    },
    handler: async (_request, reply) => reply.type('application/gzip').send((await packed()).bytes)
  })
}

/** Stands between single quotes in both scripts. */
function quotable(value: string): string {
  if (!/^[\w.:/@[\]-]+$/.test(value))
    throw new ScError('SC_CONFIG', 'The address of this master has letters that no script can take.')
  return value
}

function quoted(sentence: string): string {
  return `'${sentence.replaceAll("'", "'\\''")}'`
}
