import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { childEnv } from '@sc/shared/config.ts'
import { type Browser, chromium } from 'playwright-core'

const NAMES = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome']

/** The Chromium of this machine; undefined: it has none (Debian, Ubuntu: `apt-get install chromium`). */
export function findChromium(): string | undefined {
  const folders = (childEnv().PATH ?? '').split(delimiter)
  return NAMES.flatMap(name => folders.map(folder => join(folder, name))).find(isProgram)
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Root's Chromium has no sandbox; the only pages it opens are ours. */
export function openBrowser(executablePath: string): Promise<Browser> {
  return chromium.launch({ executablePath, chromiumSandbox: process.getuid?.() !== 0 })
}
