import { forgetPageToken, keepPageToken, sessionHeaders } from './session.js'

/**
 * What the master says, again and again while somebody looks.
 *
 * DESIGN. States: `live` (every source is asked at its own pace), `away` (the master does not answer) and `locked` (this
 * browser is not logged in). In the latter two only LEADER is asked, every 2 s; its answer makes the page `live`, and then
 * every source is asked at once. A hidden page asks nothing. A source that is refused for another reason says why in
 * `onProblem` and is asked again.
 */

/** @typedef {'live' | 'away' | 'locked'} State */
/**
 * @typedef {object} Answers
 * @property {{ items: import('../../cluster/presence.ts').WorkerRow[] }} workers
 * @property {Stats} stats
 * @property {import('../../cluster/topology.ts').Topology} topology
 * @property {{ items: import('@sc/shared/doctor/finding.ts').Finding[], checkedAt: string }} doctor
 * @property {Setup} setup
 * @property {{ items: import('./sessions.js').Session[] }} sessions
 * @property {{ mode: string, masterUrl: string, version: string, tailscale: { tailnet: string | null } }} info
 */
/** @typedef {import('../../cluster/worker-stats.ts').WorkerStats & import('../../jobs/totals.ts').Totals} Stats */
/** @typedef {{ state: string, next: import('../../cluster/tailscale/next-step.ts').SetupStep }} Setup */
/** @typedef {keyof Answers} Source */

/** @type {Record<Source, { path: string, everyMs: number }>} */
const SOURCES = {
  workers: { path: '/api/workers', everyMs: 2_000 },
  stats: { path: '/api/stats', everyMs: 2_000 },
  topology: { path: '/api/cluster/topology', everyMs: 2_000 },
  doctor: { path: '/api/cluster/doctor', everyMs: 10_000 },
  setup: { path: '/api/cluster/setup', everyMs: 10_000 },
  info: { path: '/api/cluster/info', everyMs: 30_000 },
  sessions: { path: '/api/sessions', everyMs: 10_000 }
}
/** Costs the master least: it needs no database. */
const LEADER = 'workers'
const ASK_AGAIN_MS = 2_000
/** Some ask other machines first. */
const ANSWER_MS = 10_000
const LEADER_ANSWER_MS = 4_000

/** The master's `problem+json`. */
export class Problem extends Error {
  /**
   * @param {number} status
   * @param {string} detail
   */
  constructor(status, detail) {
    super(detail)
    this.status = status
  }
}

/**
 * Throws a `Problem`, or what `fetch` throws where nobody answers.
 * @param {string} path
 * @param {RequestInit} [init]
 * @returns {Promise<any>}
 */
export async function ask(path, init = {}) {
  return await (await respond(path, init)).json()
}

/**
 * @param {string} path
 * @param {RequestInit} [init]
 */
export async function respond(path, init = {}) {
  const headers = sessionHeaders()
  const response = await fetch(path, { cache: 'no-store', signal: AbortSignal.timeout(ANSWER_MS), headers, ...init })
  if (response.ok) return response
  throw await problemOf(response)
}

/** @param {Response} response */
async function problemOf(response) {
  const problem = await response.json().catch(() => null)
  // A proxy in between speaks for a master that is away.
  if (typeof problem?.detail !== 'string') return new TypeError(`the answer was ${response.status}`)
  return new Problem(response.status, problem.detail)
}

/**
 * @param {object} listener
 * @param {<Name extends Source>(source: Name, answer: Answers[Name]) => void} listener.onAnswer
 * @param {(source: Source, problem: string | null) => void} listener.onProblem
 * @param {(state: State, why: string) => void} listener.onState Only changes.
 * @returns {{ refresh(): void, logOut(): Promise<void> }} `refresh`: asks everything now.
 */
export function startLive({ onAnswer, onProblem, onState }) {
  /** @type {State | null} */
  let state = null
  let hasTriedTailnet = false
  let hasLoggedOut = false
  /** @type {Map<Source, ReturnType<typeof setTimeout>>} */
  const timers = new Map()
  /** @type {Set<Source>} */
  const asking = new Set()
  const sources = /** @type {Source[]} */ (Object.keys(SOURCES))

  /**
   * @param {State} next
   * @param {string} [why]
   */
  function become(next, why = '') {
    if (state === next) return
    state = next
    onState(next, why)
    if (next === 'live') for (const source of sources) if (source !== LEADER) void look(source)
  }

  /** @param {Source} source */
  async function look(source) {
    clearTimeout(timers.get(source))
    if (document.hidden || asking.has(source)) return
    if (source !== LEADER && state !== 'live') return
    asking.add(source)
    const { path, everyMs } = SOURCES[source]
    try {
      const limitMs = source === LEADER ? LEADER_ANSWER_MS : ANSWER_MS
      onAnswer(source, await ask(path, { signal: AbortSignal.timeout(limitMs) }))
      onProblem(source, null)
      if (source === LEADER) {
        // A session of the tailnet ends after a day: then it is tried again.
        hasTriedTailnet = false
        become('live')
      }
    } catch (error) {
      await fail(source, /** @type {Error} */ (error))
    } finally {
      asking.delete(source)
      timers.set(
        source,
        setTimeout(() => void look(source), state === 'live' ? everyMs : ASK_AGAIN_MS)
      )
    }
  }

  /**
   * @param {Source} source
   * @param {Error} error
   */
  async function fail(source, error) {
    if (error instanceof Problem && error.status === 401) {
      const refused = await refusedByTailnet(error)
      if (refused) become('locked', refused.message)
      else setTimeout(refresh)
    } else if (error instanceof Problem) {
      onProblem(source, error.message)
      if (source === LEADER) become('live')
    } else if (source === LEADER) become('away')
  }

  /**
   * People of the master's own tailnet may be let in without a code: tried once. Null: it was so.
   * @param {Problem} problem
   */
  async function refusedByTailnet(problem) {
    if (hasTriedTailnet || hasLoggedOut) return problem
    hasTriedTailnet = true
    const answer = await fetch('/login', { method: 'POST', cache: 'no-store' }).catch(() => null)
    if (answer?.ok) {
      keepPageToken((await answer.json()).pageToken)
      return null
    }
    return answer && (answer.status === 401 || answer.status === 403) ? await problemOf(answer) : problem
  }

  function refresh() {
    for (const source of sources) void look(source)
  }

  async function logOut() {
    await respond('/api/logout', { method: 'POST' })
    forgetPageToken()
    // Not at once in again from the tailnet.
    hasLoggedOut = true
    become('locked', 'You have logged out.')
  }

  document.addEventListener('visibilitychange', refresh)
  refresh()
  return { refresh, logOut }
}
