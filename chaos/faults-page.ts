import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { REPO_DIR } from '@sc/shared/config.ts'

const PAGE = join(REPO_DIR, 'docs/faults.md')
const TAILNET = '## On a tailnet'

/** `docs/faults.md` has two parts, each written by the program that measures it; the other part stays as it is. */
export async function writeFaults(parts: { machine?: string; tailnet?: string }): Promise<void> {
  const [machine = '', ...rest] = (await readFile(PAGE, 'utf8')).split(TAILNET)
  const tailnet = rest.length > 0 ? TAILNET + rest.join(TAILNET) : ''
  const both = [parts.machine ?? machine, parts.tailnet ?? tailnet].map(part => part.trim())
  await writeFile(PAGE, `${both.join('\n\n').trim()}\n`)
}
