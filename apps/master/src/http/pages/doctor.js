import { announce, el, quoted, redraw, withCode } from './dom.js'

/** @typedef {import('@sc/shared/doctor/finding.ts').Finding} Finding */

const ORDER = { failed: 0, warning: 1, ok: 2 }
const WORD = { failed: 'failed', warning: 'look at', ok: 'ok' }

/**
 * Failures first; what is well is folded away.
 * @param {Element} parent
 * @param {Finding[]} findings
 */
export function showDoctor(parent, findings) {
  redraw(parent, findings, all => {
    const wrong = all.filter(({ status }) => status !== 'ok').sort((a, b) => ORDER[a.status] - ORDER[b.status])
    const well = all.filter(({ status }) => status === 'ok')
    const wasOpen = parent.querySelector('details')?.open ?? false
    const summary = wrong.length === 0 ? `All well: ${well.length} checks.` : summaryOf(wrong)
    if (parent.childElementCount > 0) announce(`Doctor: ${summary}`)
    return [
      el('p', { class: wrong.length === 0 ? 'all-well' : 'quiet' }, summary),
      el('ul', { class: 'findings' }, ...wrong.map(findingItem)),
      ...(well.length === 0
        ? []
        : [
            el(
              'details',
              { open: wasOpen },
              el('summary', {}, `${well.length} checks are well`),
              el('ul', { class: 'findings' }, ...well.map(findingItem))
            )
          ])
    ]
  })
}

/** @param {Finding[]} wrong */
function summaryOf(wrong) {
  const failed = wrong.filter(({ status }) => status === 'failed').length
  return [failed > 0 ? `${failed} failed` : null, wrong.length > failed ? `${wrong.length - failed} to look at` : null]
    .filter(Boolean)
    .join(', ')
    .concat('.')
}

/** @param {Finding} finding */
export function findingItem({ check, status, found, next }) {
  return el(
    'li',
    { class: status },
    el(
      'div',
      {},
      el('span', { class: `mark ${status}` }, WORD[status]),
      ' ',
      el('strong', {}, check),
      ' ',
      quoted(withLocalTimes(found))
    ),
    ...(next === null ? [] : [el('div', { class: 'next' }, ...withCode(next))])
  )
}

/** @param {string} text */
const withLocalTimes = text =>
  text.replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, time => new Date(time).toLocaleString())

/**
 * What is left to do for a cluster over Tailscale, where that is not up.
 * @param {Element} parent
 * @param {import('./live.js').Setup} setup
 */
export function showSetup(parent, setup) {
  redraw(parent, setup, ({ state, next: { title, detail, command, url } }) => {
    if (state === 'up') return []
    return [
      el('h3', {}, `For machines in other networks: ${title}`),
      el('p', {}, detail),
      ...(command === null ? [] : [el('pre', {}, el('code', {}, command))]),
      ...(url?.startsWith('https://')
        ? [el('p', {}, el('a', { href: url, rel: 'noreferrer', target: '_blank' }, url))]
        : [])
    ]
  })
}
