import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { readFileIfAny, writePrivateFile } from '@sc/shared/data-dir.ts'
import { freePort } from '@sc/shared/free-port.ts'
import { z } from 'zod'

const settingsSchema = z.object({
  port: z.number().int(),
  password: z.string(),
  /** The server program used so far: another one may not read what this one wrote. */
  program: z.string().optional()
})

/** What stays the same over restarts of an embedded server, so that workers find it again. */
export type Settings = z.infer<typeof settingsSchema>

const pathOf = (folder: string) => join(folder, 'settings.json')

export async function loadSettings(folder: string): Promise<Settings> {
  const kept = readFileIfAny(pathOf(folder))
  if (kept !== undefined) return settingsSchema.parse(JSON.parse(kept))
  return keepSettings(folder, { port: await freePort(), password: randomBytes(24).toString('base64url') })
}

export function keepSettings(folder: string, settings: Settings): Settings {
  writePrivateFile(pathOf(folder), JSON.stringify(settings))
  return settings
}

export async function withNewPort(folder: string, settings: Settings): Promise<Settings> {
  return keepSettings(folder, { ...settings, port: await freePort() })
}
