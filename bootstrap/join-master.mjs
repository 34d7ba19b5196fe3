import { NODE } from './paths.mjs'
import { run } from './run.mjs'

/** Lets this machine in, by the code in `broker`. */
export const joinMaster = (broker, flags) => ({
  title: 'Joining the cluster',
  advice: ['The master must be reachable from here, and its code unused: `sc join` there makes another.'],
  isCurrent: () => false,
  run: ({ say }) =>
    run(NODE, ['apps/worker/src/main.ts', 'join', ...flags], {
      env: { SC_BROKER: broker },
      onLine: line => say(sentenceOf(line))
    })
})

/** Of a line of a worker's log. */
function sentenceOf(line) {
  try {
    return JSON.parse(line).msg ?? line
  } catch {
    return line
  }
}
