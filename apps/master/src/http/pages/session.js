/**
 * What the page sends beside its cookie. Cookies know no ports; this storage belongs to the master's host and port, and to
 * nobody else's pages. See `../session.ts`.
 */

const STORED = 'sc-page'
const IN_ADDRESS = /^#page=([\w-]+)$/

/** Takes the token out of the address that the login led to, so that it stays neither there nor in the history. */
export function takePageToken() {
  const [, token] = IN_ADDRESS.exec(location.hash) ?? []
  if (token === undefined) return
  keepPageToken(token)
  history.replaceState(null, '', location.pathname)
}

/** @param {string} token */
export function keepPageToken(token) {
  localStorage.setItem(STORED, token)
}

export function forgetPageToken() {
  localStorage.removeItem(STORED)
}

/** @returns {Record<string, string>} */
export function sessionHeaders() {
  const token = localStorage.getItem(STORED)
  return token === null ? {} : { 'x-sc-page': token }
}
