import { el, redraw, svg } from './dom.js'

/**
 * The cluster drawn: the master, and on lines from it the workers and the other machines of the tailnet. On both sides of
 * the master where there is room, else on its right. Sizes in CSS pixels.
 *
 * @typedef {import('../../cluster/presence.ts').WorkerRow} Worker
 * @typedef {import('../../cluster/topology.ts').Topology} Topology
 * @typedef {Topology['nodes'][number]} Machine
 * @typedef {Topology['edges'][number]} Edge
 * @typedef {{ id: string, name: string, state: string, says: string, slots: string[] }} Box
 */

const BOX = { height: 50, gap: 14 }
const TWO_SIDED_FROM = 620
/** Of the other machines of a tailnet, which may be a hundred. */
const MOST_PEERS = 12
const SLOT = 9
const MOST_SLOTS = 8

/**
 * @param {Element} parent
 * @param {Topology} topology
 * @param {Worker[]} workers
 */
export function drawPicture(parent, { nodes, edges, stats }, workers) {
  const width = Math.floor(parent.clientWidth)
  if (width === 0) return
  const peers = nodes.filter(({ type, online }) => type === 'peer' && online)
  const drawn = [...nodes.filter(({ type }) => type === 'worker'), ...peers.slice(0, MOST_PEERS)]
  const boxes = drawn.map(node => boxOf(node, workers))
  const ways = new Map(edges.map(edge => [edge.from === 'master' ? edge.to : edge.from, edge]))
  const hidden = stats.peers - Math.min(peers.length, MOST_PEERS)
  const more = hidden > 0 ? `Not drawn: ${hidden} more of the tailnet.` : null
  const summary = `The master, ${count(stats.workers, 'worker')} and ${count(stats.peers, 'other machine')}: ${stats.direct} reached directly, ${stats.relayed} through a relay.`
  const host = nodes.find(({ type }) => type === 'master')?.hostname ?? ''
  redraw(parent, { width, boxes, ways: [...ways], more, summary, host }, () => [
    draw(width, host, boxes, ways, summary),
    ...(more === null ? [] : [el('p', { class: 'quiet' }, more)])
  ])
}

/**
 * @param {number} number
 * @param {string} what
 */
const count = (number, what) => `${number} ${what}${number === 1 ? '' : 's'}`

/**
 * @param {Machine} node
 * @param {Worker[]} workers
 * @returns {Box}
 */
function boxOf({ id, type, name, os, online }, workers) {
  const worker = workers.find(row => row.id === id)
  if (type === 'peer') return { id, name, state: 'peer', says: os || 'in the tailnet', slots: [] }
  const state = worker?.status ?? (online ? 'online' : 'offline')
  const slots = state === 'offline' ? [] : (worker?.slots ?? []).map(slot => slot.state)
  const busy = slots.filter(slot => slot === 'running').length
  const says = state === 'online' ? `${busy} of ${slots.length} busy` : state
  return { id, name, state, says, slots }
}

/**
 * @param {number} width
 * @param {string} host
 * @param {Box[]} boxes
 * @param {Map<string, Edge>} ways
 * @param {string} summary
 */
function draw(width, host, boxes, ways, summary) {
  const twoSided = width >= TWO_SIDED_FROM && boxes.length > 1
  const onLeft = twoSided ? Math.floor(boxes.length / 2) : 0
  const rows = Math.max(onLeft, boxes.length - onLeft, 2)
  const height = rows * (BOX.height + BOX.gap) + BOX.gap
  const boxWidth = twoSided ? Math.min(230, width * 0.28) : Math.min(230, width * 0.44)
  const masterWidth = twoSided ? 170 : Math.min(150, width * 0.22)
  const master = { x: twoSided ? (width - masterWidth) / 2 : 1, y: height / 2 - 32, width: masterWidth, height: 64 }

  /** @param {number} at */
  const placeOf = at => {
    const isLeft = at < onLeft
    const row = isLeft ? at : at - onLeft
    const count = isLeft ? onLeft : boxes.length - onLeft
    const top = (height - count * (BOX.height + BOX.gap) + BOX.gap) / 2
    return { isLeft, x: isLeft ? 1 : width - boxWidth - 1, y: top + row * (BOX.height + BOX.gap) }
  }
  const lines = boxes.flatMap(({ id }, at) => {
    const { isLeft, x, y } = placeOf(at)
    const from = { x: isLeft ? master.x : master.x + master.width, y: height / 2 }
    const to = { x: isLeft ? x + boxWidth : x, y: y + BOX.height / 2 }
    return drawWay(from, to, ways.get(id))
  })
  return svg(
    'svg',
    { class: 'picture', width, height, viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': summary },
    ...lines,
    ...drawMaster(master, host),
    ...boxes.flatMap((box, at) => drawBox(box, placeOf(at), boxWidth))
  )
}

/**
 * @param {{ x: number, y: number }} from
 * @param {{ x: number, y: number }} to
 * @param {Edge | undefined} way Of one that is off there is none.
 */
function drawWay(from, to, way) {
  const middle = (from.x + to.x) / 2
  const kind = !way ? 'none' : way.direct === null ? 'unknown' : way.direct ? 'direct' : 'relayed'
  const path = svg('path', {
    class: `edge ${kind}`,
    d: `M${from.x} ${from.y}C${middle} ${from.y} ${middle} ${to.y} ${to.x} ${to.y}`
  })
  if (!way || way.rttMs === null) return [path]
  const text = `${way.rttMs < 10 ? way.rttMs.toFixed(1) : Math.round(way.rttMs)} ms`
  const width = text.length * 6.4 + 6
  const x = onCurve(from.x, middle, middle, to.x)
  const y = onCurve(from.y, from.y, to.y, to.y)
  return [
    path,
    svg('rect', { class: 'rtt-ground', x: x - width / 2, y: y - 8, width, height: 16 }),
    svg('text', { class: 'rtt', x, y: y + 4, 'text-anchor': 'middle' }, text)
  ]
}

/** Nearer to the machine than to the master, where lines have parted. */
const LABEL_AT = 0.66

/**
 * One coordinate of a cubic Bézier curve.
 * @param {number} a
 * @param {number} b
 * @param {number} c
 * @param {number} d
 */
function onCurve(a, b, c, d) {
  const t = LABEL_AT
  return (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t ** 2 * c + t ** 3 * d
}

/**
 * @param {{ x: number, y: number, width: number, height: number }} place
 * @param {string} host
 */
function drawMaster({ x, y, width, height }, host) {
  const middle = { x: x + width / 2, 'text-anchor': 'middle' }
  return [
    svg('rect', { class: 'box master', x, y, width, height, rx: 12 }),
    svg('text', { class: 'name', ...middle, y: y + 28 }, 'master'),
    svg('text', { class: 'says', ...middle, y: y + 47 }, cut(host.split('.')[0] ?? '', width - 16, 6.6))
  ]
}

/**
 * @param {Box} box
 * @param {{ x: number, y: number }} place
 * @param {number} width
 */
function drawBox({ name, state, says, slots }, { x, y }, width) {
  const shown = slots.slice(0, MOST_SLOTS)
  const textAt = x + 16 + (shown.length > 0 ? shown.length * (SLOT + 3) + 4 : 0)
  return [
    svg('rect', { class: `box ${state}`, x, y, width, height: BOX.height, rx: 10 }),
    svg('rect', { class: `state ${state}`, x: x + 5, y: y + 10, width: 4, height: BOX.height - 20, rx: 2 }),
    svg('text', { class: 'name', x: x + 16, y: y + 21 }, cut(name, width - 24, 7.8)),
    ...shown.map((slot, at) =>
      svg('rect', { class: `slot ${slot}`, x: x + 16 + at * (SLOT + 3), y: y + 30, width: SLOT, height: SLOT, rx: 2 })
    ),
    svg('text', { class: 'says', x: textAt, y: y + 39 }, cut(says, x + width - textAt - 6, 6.6))
  ]
}

/**
 * SVG does not shorten text.
 * @param {string} text
 * @param {number} width
 * @param {number} perLetter
 */
function cut(text, width, perLetter) {
  const most = Math.max(1, Math.floor(width / perLetter))
  return text.length > most ? `${text.slice(0, most - 1)}…` : text
}
