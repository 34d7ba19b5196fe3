import { createInterface } from 'node:readline'
import { createReleasers } from '@sc/shared/releasers.ts'
import { openApp, type Servers } from './open-app.ts'

/**
 * The API in a process of its own, to see its memory. Argument: `Servers` as JSON. Prints its address, then for every
 * line on stdin the bytes it holds; ends with stdin.
 */
const servers = JSON.parse(process.argv[2] ?? '') as Servers
const releasers = createReleasers()
const { listen } = await openApp(servers, releasers)
process.stdout.write(`${await listen()}\n`)
createInterface({ input: process.stdin })
  .on('line', () => process.stdout.write(`${process.memoryUsage.rss()}\n`))
  .once('close', () => void releasers.release())
