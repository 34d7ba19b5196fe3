import { join } from 'node:path'

/** Of the address of a socket on macOS, in bytes with the zero at its end; Linux takes four more. */
const MOST_BYTES = 104

/**
 * Where an embedded server listens for its master, beside TCP: a statement takes a quarter less time that way. `folder`
 * belongs to the server's user alone. Undefined: the system has no such sockets, or the path is longer than they take.
 */
export function socketPath(folder: string, name: string): string | undefined {
  const path = join(folder, name)
  return process.platform !== 'win32' && Buffer.byteLength(path) < MOST_BYTES ? path : undefined
}
