import { el, redraw } from './dom.js'

/**
 * @param {Element} parent A `dl`.
 * @param {import('./live.js').Stats} stats
 */
export function showFigures(parent, { slots, units, jobs, workers, lastMinute }) {
  const ended = jobs.COMPLETED + jobs.PARTIAL + jobs.FAILED + jobs.CANCELLED
  /** @type {Array<[what: string, figure: string, more: string]>} */
  const figures = [
    ['Slots busy', `${slots.running}`, `of ${slots.total}`],
    ['Units running', `${units.RUNNING}`, `${lastMinute.unitsDone} done in the last minute`],
    ['Units waiting', `${units.QUEUED}`, 'for a slot'],
    ['Jobs', `${jobs.RUNNING}`, `running, ${jobs.PENDING} waiting`],
    ['Jobs ended', `${ended}`, `in 24 hours, ${jobs.FAILED} failed`],
    ['Machines online', `${workers.online + workers.draining}`, `of ${workers.total}`]
  ]
  redraw(parent, figures, all =>
    all.map(([what, figure, more]) =>
      el('div', {}, el('dt', {}, what), el('dd', {}, el('strong', {}, figure), el('span', { class: 'quiet' }, more)))
    )
  )
}
