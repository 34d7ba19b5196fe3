/** Building the page. What machines and users say becomes text, never markup. */

/** @typedef {Record<string, string | number | boolean | null | undefined>} Attributes */

/**
 * An element with attributes; those that are null, undefined or false are left out.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag)
  setAttributes(node, attributes)
  node.append(...children)
  return node
}

/**
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} [attributes]
 * @param {...(Node | string)} children
 * @returns {SVGElementTagNameMap[Tag]}
 */
export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag)
  setAttributes(node, attributes)
  node.append(...children)
  return node
}

/**
 * @param {Element} node
 * @param {Attributes} attributes
 */
function setAttributes(node, attributes) {
  for (const [name, value] of Object.entries(attributes))
    if (value !== null && value !== undefined && value !== false)
      node.setAttribute(name, value === true ? '' : `${value}`)
}

/**
 * The element of the page's HTML.
 * @param {string} id
 */
export function byId(id) {
  const node = document.getElementById(id)
  if (!node) throw new Error(`the page has no #${id}`)
  return node
}

/**
 * What a machine or a user wrote, beside other text: letters that run from right to left, and characters that turn the
 * direction, turn nothing but itself.
 * @param {string} text
 */
export function quoted(text) {
  return el('bdi', {}, text)
}

/**
 * Several of these in a line.
 * @param {string[]} texts
 * @param {string} [between]
 * @returns {Array<Node | string>}
 */
export function quotedList(texts, between = ' · ') {
  return texts.flatMap((text, at) => (at === 0 ? [quoted(text)] : [between, quoted(text)]))
}

/**
 * @param {Node} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text
}

/**
 * Shows the text, or hides its element.
 * @param {HTMLElement} node
 * @param {string | null} text
 */
export function showText(node, text) {
  setText(node, text ?? '')
  node.hidden = text === null
}

/** @type {WeakMap<Element, string>} */
const drawn = new WeakMap()

/**
 * Builds the children anew when what they show is another than before: what somebody reads or selects stays else.
 * @template Data
 * @param {Element} parent
 * @param {Data} data
 * @param {(data: Data) => Array<Node | string>} build
 */
export function redraw(parent, data, build) {
  const now = JSON.stringify(data)
  if (drawn.get(parent) === now) return
  drawn.set(parent, now)
  parent.replaceChildren(...build(data))
}

/**
 * Text in which `such` words become code.
 * @param {string} text
 * @returns {Array<Node | string>}
 */
export function withCode(text) {
  return text.split('`').map((part, at) => (at % 2 === 1 ? el('code', {}, part) : part))
}

/**
 * A bar that is full at 1, and empty where there is nothing to be full of; what it means stands beside it.
 * @param {number} fraction
 */
export function bar(fraction) {
  const width = 100 * Math.min(1, Math.max(0, fraction || 0))
  return svg(
    'svg',
    { class: 'bar', viewBox: '0 0 100 6', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
    svg('rect', { class: 'bar-ground', width: 100, height: 6 }),
    svg('rect', { class: width > 90 ? 'bar-full' : 'bar-part', width, height: 6 })
  )
}

/**
 * Says it to who cannot see that something changed.
 * @param {string} sentence
 */
export function announce(sentence) {
  setText(byId('news'), sentence)
}
