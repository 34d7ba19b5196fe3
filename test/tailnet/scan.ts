import { connect } from 'node:net'

/** `scan.ts ADDRESS`, run on a machine of the tailnet: prints the open TCP ports of another one as JSON. */
const address = process.argv[2] as string
const LIMIT_MS = 3_000
const AT_ONCE = 400
const LAST_PORT = 65_535

const open: number[] = []
let next = 1

async function work(): Promise<void> {
  while (next <= LAST_PORT) {
    const port = next++
    if (await isOpen(port)) open.push(port)
  }
}

function isOpen(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect({ port, host: address })
    const answer = (yes: boolean) => {
      socket.destroy()
      resolve(yes)
    }
    socket.setTimeout(LIMIT_MS, () => answer(false))
    socket.once('connect', () => answer(true))
    socket.once('error', () => answer(false))
  })
}

await Promise.all(Array.from({ length: AT_ONCE }, work))
process.stdout.write(JSON.stringify(open.toSorted((a, b) => a - b)))
