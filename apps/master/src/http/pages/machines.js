import { findingItem } from './doctor.js'
import { announce, bar, byId, el, quoted, quotedList, redraw, setText, showText } from './dom.js'
import { ask } from './live.js'

/**
 * A card for each machine, which stays while the machine does: what has the focus keeps it.
 *
 * @typedef {import('../../cluster/presence.ts').WorkerRow} Worker
 * @typedef {import('../../cluster/topology.ts').Topology} Topology
 * @typedef {import('@sc/shared/doctor/finding.ts').Finding} Finding
 * @typedef {{ node: HTMLLIElement, update(worker: Worker, about: About): void }} Card
 * @typedef {{ path: string | null, findings: Finding[] }} About `path`: how the master reaches it.
 */

/**
 * @param {object} deps
 * @param {() => void} deps.refresh
 * @param {(worker: Worker) => void} deps.onRemove Asks before.
 */
export function createMachines({ refresh, onRemove }) {
  const list = byId('machines')
  /** @type {Map<string, Card>} */
  const cards = new Map()
  /** @type {Map<string, Worker> | null} */
  let before = null

  return {
    /**
     * @param {Worker[]} workers
     * @param {Topology | undefined} topology
     * @param {Finding[]} findings Of the whole cluster.
     */
    show(workers, topology, findings) {
      byId('no-machines').hidden = workers.length > 0
      for (const [id, { node }] of cards)
        if (!workers.some(worker => worker.id === id)) {
          node.remove()
          cards.delete(id)
        }
      for (const worker of workers) {
        let card = cards.get(worker.id)
        if (!card) {
          card = createCard(worker, { refresh, onRemove })
          cards.set(worker.id, card)
          list.append(card.node)
        }
        card.update(worker, { path: pathOf(worker, topology), findings: findingsOf(worker, topology, findings) })
      }
      tellChanges(workers)
    }
  }

  /** @param {Worker[]} workers */
  function tellChanges(workers) {
    const said = before
    before = new Map(workers.map(worker => [worker.id, worker]))
    if (said === null) return
    for (const { id, name, status } of workers) {
      const was = said.get(id)
      if (!was) announce(`${name} has joined.`)
      else if (was.status !== status) announce(`${name} is ${status}.`)
    }
    for (const [id, { name }] of said) if (!before.has(id)) announce(`${name} was removed.`)
  }
}

/**
 * @param {Worker} worker
 * @param {Topology | undefined} topology
 */
function pathOf({ id }, topology) {
  const way = topology?.edges.find(({ from }) => from === id)
  if (!way) return null
  const kind = way.type === 'local' ? 'the master’s machine' : way.type === 'lan' ? 'same network' : 'tailnet'
  const how =
    way.type === 'local' || way.direct === null ? '' : way.direct ? ', direct' : `, relayed by ${way.relay ?? '?'}`
  return `${kind}${how}${way.rttMs === null ? '' : `, ${way.rttMs.toFixed(1)} ms`}`
}

/**
 * How the master finds the worker and the way to it, unless well, and what the worker finds itself.
 * @param {Worker} worker
 * @param {Topology | undefined} topology
 * @param {Finding[]} findings
 */
function findingsOf({ id, name, findings: own }, topology, findings) {
  const isRelayed = topology?.edges.some(({ from, direct }) => from === id && direct === false)
  const seen = [`worker ${name}`, isRelayed ? `worker ${name}: path` : null]
  return [...findings.filter(({ check, status }) => seen.includes(check) && status !== 'ok'), ...own]
}

/**
 * @param {Worker} first
 * @param {{ refresh(): void, onRemove(worker: Worker): void }} deps
 * @returns {Card}
 */
function createCard(first, { refresh, onRemove }) {
  let worker = first
  const name = el('h3', { id: `machine-${first.id}` })
  const badge = el('span', { class: 'badge' })
  const about = el('p', { class: 'quiet' })
  const reason = el('p', { class: 'quiet' })
  const findings = el('ul', { class: 'findings' })
  const gpus = el('ul', { class: 'gpus' })
  const gauges = el('div')
  const slots = el('ul', { class: 'slots' })
  const facts = el('dl', { class: 'facts' })
  const problem = el('p', { class: 'trouble', role: 'alert', hidden: true })
  const order = el('button', { type: 'button' })
  const remove = el('button', { type: 'button', class: 'danger' }, 'Remove …')
  const node = el(
    'li',
    { class: 'machine panel', 'aria-labelledby': `machine-${first.id}` },
    el('div', { class: 'head' }, name, badge),
    ...[about, reason, findings, gpus, gauges, slots, facts, problem],
    el('div', { class: 'actions' }, order, remove)
  )
  const isDrained = () => worker.status === 'draining'

  order.addEventListener('click', async () => {
    order.disabled = true
    try {
      await ask(`/api/workers/${encodeURIComponent(worker.id)}/${isDrained() ? 'resume' : 'drain'}`, { method: 'POST' })
      showText(problem, null)
      refresh()
    } catch (error) {
      showText(problem, /** @type {Error} */ (error).message)
    } finally {
      order.disabled = false
    }
  })
  remove.addEventListener('click', () => onRemove(worker))

  return {
    node,
    update(now, { path, findings: found }) {
      worker = now
      const { status, hostname, os, version, lastSeen, models, cpu, ram } = now
      const isOff = status === 'offline'
      node.dataset.status = status
      setText(name, now.name)
      setText(badge, status)
      badge.className = `badge ${status}`
      redraw(about, [hostname, os, `version ${version}`], quotedList)
      showText(reason, isOff ? null : now.reason)
      setText(order, isDrained() ? 'Resume' : 'Drain')
      order.title = isDrained() ? 'Let it take units again' : 'Let it finish what it runs and take nothing new'
      order.setAttribute('aria-label', `${isDrained() ? 'Resume' : 'Drain'} ${now.name}`)
      order.hidden = isOff
      remove.setAttribute('aria-label', `Remove ${now.name}`)
      redraw(findings, found, all => all.map(findingItem))
      redraw(gpus, isOff ? now.gpus.map(({ name }) => name) : now.gpus, () => now.gpus.map(gpu => gpuItem(gpu, isOff)))
      redraw(slots, isOff ? [] : now.slots, all => all.map(slot => slotItem(slot, now.reason)))
      redraw(gauges, isOff ? [] : [cpu.load, ram.availableGb], () => (isOff ? [] : loadGauges(now)))
      /** @type {Array<[string, string[]]>} */
      const rows = [
        ['CPU', [cpu.model, `${cpu.threads} threads`]],
        ['Memory', isOff ? [`${ram.totalGb} GB`] : []],
        ['Models', models.length === 0 ? ['none on its disk'] : models.map(model => model.name)],
        ['Path', isOff || path === null ? [] : [path]],
        ['Last seen', [isOff ? new Date(lastSeen).toLocaleString() : 'now']]
      ]
      redraw(facts, rows, all =>
        all.flatMap(([what, texts]) =>
          texts.length === 0 ? [] : [el('dt', {}, what), el('dd', {}, ...quotedList(texts, ', '))]
        )
      )
    }
  }
}

/**
 * @param {Worker['gpus'][number]} gpu
 * @param {boolean} isOff
 */
function gpuItem({ name, vramUsedGb, vramTotalGb, utilization, temperatureC, powerW }, isOff) {
  if (isOff) return el('li', {}, el('strong', {}, name), ` ${vramTotalGb} GB`)
  const warmth = [
    temperatureC === null ? null : `${temperatureC} °C`,
    powerW === null ? null : `${Math.round(powerW)} W`
  ]
  return el(
    'li',
    {},
    el(
      'div',
      { class: 'head' },
      el('strong', {}, name),
      el('span', { class: 'quiet' }, warmth.filter(Boolean).join(', '))
    ),
    gauge('memory', vramUsedGb / vramTotalGb, `${vramUsedGb.toFixed(1)} of ${vramTotalGb} GB`),
    ...(utilization === null ? [] : [gauge('busy', utilization / 100, `${utilization} %`)])
  )
}

/** @param {Worker} worker */
function loadGauges({ cpu: { load }, ram: { totalGb, availableGb } }) {
  const usedGb = totalGb - availableGb
  return [
    gauge('CPU', load / 100, `${Math.round(load)} %`),
    gauge('RAM', usedGb / totalGb, `${usedGb.toFixed(1)} of ${totalGb.toFixed(0)} GB`)
  ]
}

/**
 * @param {string} what
 * @param {number} fraction
 * @param {string} figure
 */
function gauge(what, fraction, figure) {
  return el('div', { class: 'gauge' }, el('span', {}, what), bar(fraction), el('span', {}, figure))
}

/**
 * @param {Worker['slots'][number]} slot
 * @param {string | null} ofAll Why the whole worker takes no units: said above.
 */
function slotItem({ id, state, unitId, reason }, ofAll) {
  const does = state === 'running' ? `runs ${shortUnit(unitId ?? 'a unit')}` : state.replaceAll('-', ' ')
  return el(
    'li',
    { class: state },
    el('span', { class: 'slot-mark', 'aria-hidden': 'true' }),
    el('strong', {}, id),
    el(
      'span',
      { title: unitId },
      ...(reason && reason !== ofAll ? [quoted(does), ': ', quoted(reason)] : [quoted(does)])
    )
  )
}

/**
 * The beginning of a job's id tells it from others that run.
 * @param {string} unitId
 */
function shortUnit(unitId) {
  return unitId.replace(/^([0-9a-f]{8})-[0-9a-f-]{27}\./, '$1… ')
}
