import { createJoining } from './add-machine.js'
import { showDoctor, showSetup } from './doctor.js'
import { announce, byId, quotedList, redraw, setText, showText } from './dom.js'
import { showFigures } from './figures.js'
import { startLive } from './live.js'
import { createMachines } from './machines.js'
import { drawPicture } from './picture.js'
import { createRemoval } from './remove-machine.js'
import { takePageToken } from './session.js'
import { createSessions } from './sessions.js'

/** The cluster page: what the master says goes to the parts that show it. */

/** @type {Partial<import('./live.js').Answers>} */
const last = {}
/** @type {Map<string, string>} */
const problems = new Map()
/** @type {import('./live.js').State | null} */
let state = null
let awaySince = ''

takePageToken()
const live = startLive({
  onAnswer: (source, answer) => {
    last[source] = answer
    show(source)
  },
  onProblem: (source, problem) => {
    if (problem === null) problems.delete(source)
    else problems.set(source, problem)
    showTrouble()
  },
  onState: (next, why) => {
    if (next === 'live' && state === 'away') announce('The master answers again.')
    state = next
    awaySince = new Date().toLocaleTimeString()
    byId('login').hidden = next !== 'locked'
    byId('add').hidden = next === 'locked'
    byId('log-out').hidden = next === 'locked'
    byId('cluster').hidden = next === 'locked' || last.workers === undefined
    document.body.dataset.state = next
    if (next === 'locked') setText(byId('login-problem'), why)
    showTrouble()
    show('topology')
  }
})
const joining = createJoining()
const sessions = createSessions(live)
const machines = createMachines({ refresh: live.refresh, onRemove: createRemoval(live.refresh) })
byId('try-again').addEventListener('click', () => location.reload())
new ResizeObserver(() => show('topology')).observe(byId('picture'))

/** @param {import('./live.js').Source} source */
function show(source) {
  const { workers, stats, topology, doctor, setup, info } = last
  const rows = workers?.items ?? []
  if (source === 'stats' && stats) showFigures(byId('figures'), stats)
  if (source === 'workers') joining.onWorkers(rows)
  if (source === 'sessions' && last.sessions) sessions.show(last.sessions.items)
  if (source === 'workers' || source === 'topology') {
    if (topology) drawPicture(byId('picture'), topology, rows)
  }
  if (source === 'workers' || source === 'topology' || source === 'doctor')
    if (workers) machines.show(rows, topology, doctor?.items ?? [])
  if (source === 'doctor' && doctor) showDoctor(byId('doctor'), doctor.items)
  if (source === 'setup' && setup) showSetup(byId('setup'), setup)
  if (source === 'info' && info) {
    const { mode, masterUrl, version, tailscale } = info
    const tailnet = tailscale.tailnet ? [`tailnet ${tailscale.tailnet}`] : []
    redraw(byId('place'), [masterUrl, `mode ${mode}`, ...tailnet, `version ${version}`], quotedList)
  }
}

/** One line, whatever is wrong. */
function showTrouble() {
  const away = `The master has not answered since ${awaySince}. What is shown is from then; it is asked again every 2 seconds.`
  const [problem = null] = problems.values()
  showText(byId('trouble'), state === 'away' ? away : state === 'live' ? problem : null)
}
