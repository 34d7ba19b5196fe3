import { announce, byId, el, quoted, setText, showText } from './dom.js'
import { respond } from './live.js'

/**
 * A line for another machine, with a code that is good for a while; says when that machine has come.
 *
 * @typedef {import('../../cluster/join-command.ts').JoinAnswer} JoinAnswer
 * @typedef {{ id: string, name: string }} Worker
 */

export function createJoining() {
  const panel = byId('joining')
  const button = /** @type {HTMLButtonElement} */ (byId('add'))
  /** @type {Worker[]} */
  let workers = []
  /**
   * Ids of the machines that were there when the code was made; null: there is no code.
   * @type {Set<string> | null}
   */
  let known = null
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let clock

  button.addEventListener('click', make)

  async function make() {
    button.disabled = true
    clearInterval(clock)
    known = new Set(workers.map(({ id }) => id))
    try {
      const response = await respond('/api/cluster/join-codes', { method: 'POST' })
      // By the master's clock: that of this browser may be another.
      const atMasterMs = Date.parse(response.headers.get('date') ?? '') || Date.now()
      show(await response.json(), atMasterMs)
    } catch (error) {
      known = null
      panel.replaceChildren(
        title('No join code'),
        el('p', { class: 'trouble' }, /** @type {Error} */ (error).message),
        closing()
      )
    } finally {
      button.disabled = false
      panel.hidden = false
      panel.focus()
    }
  }

  /**
   * @param {JoinAnswer} answer
   * @param {number} atMasterMs
   */
  function show({ command, alternatives, prerequisites, expiresAt }, atMasterMs) {
    const left = el('p', { class: 'quiet', role: 'timer' })
    panel.replaceChildren(
      title('Add a machine'),
      el('p', {}, 'Paste this line on the other machine:'),
      commandLine(command),
      left,
      el('p', {}, 'It needs:'),
      el('ul', {}, ...prerequisites.map(one => el('li', {}, one))),
      ...alternatives.map(one => el('details', {}, el('summary', {}, one.title), commandLine(one.command))),
      closing()
    )
    if (expiresAt === null) return showText(left, null)
    const endsMs = performance.now() + Date.parse(expiresAt) - atMasterMs
    const tick = () => {
      const seconds = Math.max(0, Math.round((endsMs - performance.now()) / 1000))
      setText(left, seconds > 0 ? `Good for one machine, for ${minutes(seconds)} more.` : 'This code is too old now.')
      if (seconds > 0) return
      clearInterval(clock)
      for (const line of panel.querySelectorAll('.command')) line.remove()
      announce('The join code is too old now.')
    }
    clock = setInterval(tick, 1_000)
    tick()
  }

  function closing() {
    const close = el('button', { type: 'button' }, 'Close')
    close.addEventListener('click', () => {
      clearInterval(clock)
      known = null
      panel.hidden = true
      button.focus()
    })
    return el('div', { class: 'actions' }, close)
  }

  return {
    /** @param {Worker[]} now */
    onWorkers(now) {
      workers = now
      const came = known && now.find(({ id }) => !known?.has(id))
      if (!came) return
      clearInterval(clock)
      known = null
      panel.replaceChildren(
        title(quoted(came.name), ' has joined'),
        el('p', {}, 'It is among the machines below and takes units. The code is used; “Add a machine” makes another.'),
        closing()
      )
    }
  }
}

/** @param {Array<Node | string>} parts */
const title = (...parts) => el('h2', { id: 'joining-title' }, ...parts)

/** @param {number} seconds */
const minutes = seconds => `${Math.floor(seconds / 60)}:${`${seconds % 60}`.padStart(2, '0')}`

/** @param {string} command */
function commandLine(command) {
  const code = el('code', {}, command)
  const copy = el('button', { type: 'button' }, 'Copy')
  copy.addEventListener('click', async () => {
    const isCopied = await copyText(command, code)
    setText(copy, isCopied ? 'Copied' : 'Selected: copy it now')
    announce(copy.textContent ?? '')
  })
  return el('div', { class: 'command' }, el('pre', {}, code), copy)
}

/**
 * Browsers have a clipboard for pages of https and of this machine only; elsewhere what is selected is copied.
 * @param {string} text
 * @param {Node} shown
 */
async function copyText(text, shown) {
  const isWritten = await navigator.clipboard?.writeText(text).then(
    () => true,
    () => false
  )
  if (isWritten) return true
  getSelection()?.selectAllChildren(shown)
  return document.execCommand('copy')
}
