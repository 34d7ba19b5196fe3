import { NODE } from './paths.mjs'
import { run } from './run.mjs'

/** Lets this machine in, by the code in `SC_BROKER`. */
export const joinMaster = flags => ({
  title: 'Joining the cluster',
  advice: ['The master must be reachable from here, and its code unused: `sc join` there makes another.'],
  isCurrent: () => false,
  run: ({ say }) => run(NODE, ['apps/worker/src/main.ts', 'join', ...flags], { onLine: say })
})
