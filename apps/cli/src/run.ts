/** `sc`, the user's command line. */
import { printError } from '@sc/shared/printable.ts'
import { CommanderError } from 'commander'
import { createInterrupt } from './interrupt.ts'
import { buildProgram } from './program.ts'
import { EXIT, failureOf } from './show/failure.ts'

const signal = createInterrupt()

async function main(): Promise<number> {
  let exitCode: number = EXIT.done
  const program = buildProgram(signal, code => {
    exitCode = code
  })
  try {
    await program.parseAsync()
    return exitCode
  } catch (thrown) {
    // Commander has said already what is wrong; its own code for help is 0.
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? EXIT.done : EXIT.usage
    const failure = failureOf(thrown)
    printError(`${failure.message}\n`)
    return failure.exitCode
  }
}

process.exitCode = await main()
