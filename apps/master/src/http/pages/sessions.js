import { byId, el, quoted, redraw, showText } from './dom.js'
import { respond } from './live.js'

/**
 * The browsers that are logged in, and how one logs out.
 *
 * @typedef {import('../session.ts').SessionDescription & { isCurrent: boolean }} Session
 */

/** @param {{ refresh(): void, logOut(): Promise<void> }} live */
export function createSessions({ refresh, logOut }) {
  const list = byId('sessions')
  const problem = byId('sessions-problem')
  byId('log-out').addEventListener('click', () => attempt(logOut))

  /** @param {() => Promise<unknown>} action */
  async function attempt(action) {
    try {
      await action()
      showText(problem, null)
    } catch (error) {
      showText(problem, /** @type {Error} */ (error).message)
    }
  }

  /** @param {Session} session */
  function item({ id, loginName, machine, agent, lastUsedAt, isCurrent }) {
    const who = loginName === null ? ['by the login link'] : [quoted(loginName), ' on ', quoted(machine ?? '?')]
    const used = isCurrent ? 'this browser' : `last used ${new Date(lastUsedAt).toLocaleString()}`
    const end = el('button', { type: 'button' }, 'Log it out')
    end.addEventListener('click', () =>
      attempt(async () => {
        await respond(`/api/sessions/${encodeURIComponent(id)}`, { method: 'DELETE' })
        refresh()
      })
    )
    return el(
      'li',
      { class: 'session' },
      el('div', {}, ...who, ', ', used, el('div', { class: 'quiet' }, agent ?? '')),
      ...(isCurrent ? [] : [end])
    )
  }

  return {
    /** @param {Session[]} sessions */
    show: sessions => redraw(list, sessions, all => all.map(item))
  }
}
