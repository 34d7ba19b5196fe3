import { NODE } from './paths.mjs'
import { run } from './run.mjs'

/** Lets this machine in, by the code in `broker`. */
export const joinMaster = (broker, flags) => ({
  title: 'Joining the cluster',
  advice: ['The master must be reachable from here, and its code unused: `sc join` there makes another.'],
  isCurrent: () => false,
  run: ({ say }) =>
    run(NODE, ['apps/worker/src/main.js', 'join', ...flags], {
      env: { SC_BROKER: broker },
      onLine: line => say(sentenceOf(line))
    })
})

/** Of a line of a worker's log, without what a terminal takes for commands. */
function sentenceOf(line) {
  let sentence = line
  try {
    sentence = JSON.parse(line).msg ?? line
  } catch {
    // No log line: as it is.
  }
  return String(sentence).replace(/[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f]+/gu, ' ')
}
