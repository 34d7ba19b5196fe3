import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { REPO_DIR } from '../src/config.ts'

/** Every file of the project, also in a copy without git's folder. */
const files = listFiles()
const documents = files.filter(path => /^(\w+\.md|docs\/.*\.md|samples\/.*\.md)$/.test(path))

function listFiles(): string[] {
  const skip = ['node_modules', '.git', '.venv', '.cache', '.turbo', 'data']
  const args = ['.', ...skip.flatMap(name => ['-name', name, '-prune', '-o']), '-type', 'f', '-print']
  const output = execFileSync('find', args, { cwd: REPO_DIR, encoding: 'utf8', maxBuffer: 64 * 1024 ** 2 })
  return output
    .trim()
    .split('\n')
    .map(path => path.slice(2))
}

/** Text without its blocks of code. */
function proseOf(path: string): string {
  return readFileSync(join(REPO_DIR, path), 'utf8').replaceAll(/```.*?```/gs, '')
}

test('there are documents', () => {
  expect(documents).toEqual(expect.arrayContaining(['README.md', 'ARCHITECTURE.md', 'docs/glossary.md']))
})

test.for(documents)('every link of %s leads somewhere', path => {
  const links = [...proseOf(path).matchAll(/\]\(([^)#]+)[^)]*\)/g)].map(([, link]) => link as string)
  const dead = links.filter(link => !/^\w+:/.test(link) && !existsSync(join(REPO_DIR, dirname(path), link)))
  expect(dead).toEqual([])
})

test('every file that ARCHITECTURE.md names is there', () => {
  const spans = [...proseOf('ARCHITECTURE.md').matchAll(/`([^`]+)`/g)].map(([, span]) => span as string)
  const named = spans
    .filter(span => /^[\w./-]+\.(ts|mjs|py|md)$/.test(span))
    .map(span => span.replace(/^(\.\.\/)+/, ''))
  const missing = named.filter(name => !files.some(path => path === name || path.endsWith(`/${name}`)))
  expect(missing).toEqual([])
  expect(named.length).toBeGreaterThan(100)
})
