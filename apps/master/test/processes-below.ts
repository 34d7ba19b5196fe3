import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** Every process that works in `folder` or was started with it. */
export function processesBelow(folder: string): string[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map(pid => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
        return `${pid} ${readlinkSync(`/proc/${pid}/cwd`)} ${command}`
      } catch {
        return ''
      }
    })
    .filter(line => line.includes(folder))
}
