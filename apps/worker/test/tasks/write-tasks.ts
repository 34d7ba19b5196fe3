import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const HEAD = `import { defineTask } from 'semantics-cluster'
import { z } from 'zod'
`

/** A folder with these files. */
export function writeTasks(files: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), 'sc-tasks-'))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  return folder
}

/** The text of a file with one task; `body` is of its `run({ text }, context)`. */
export function taskFile(name: string, body: string, more = ''): string {
  return `${HEAD}
export default defineTask({
  name: '${name}',
  ${more}
  input: z.object({ text: z.string().min(1) }),
  output: z.object({ text: z.string() }),
  async run({ text }, { log, signal, progress, files }) {
    ${body}
  }
})
`
}

/** The same in Python. */
export function pythonFile(name: string, more = ''): string {
  return `from pydantic import BaseModel
from sc_gpu import Context, task

class Text(BaseModel):
    text: str

@task(name="${name}"${more})
def run(request: Text, context: Context) -> Text:
    context.log("from Python", level="warn", letters=len(request.text))
    return Text(text=request.text.upper())
`
}
