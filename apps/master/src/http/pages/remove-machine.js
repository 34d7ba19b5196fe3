import { byId, quoted, showText } from './dom.js'
import { ask, Problem } from './live.js'

/**
 * Asks whether a machine is to be thrown out, and does it.
 * @param {() => void} refresh
 * @returns {(worker: { id: string, name: string }) => void}
 */
export function createRemoval(refresh) {
  const dialog = /** @type {HTMLDialogElement} */ (byId('removal'))
  const problem = byId('removal-problem')
  const button = /** @type {HTMLButtonElement} */ (byId('remove'))
  let workerId = ''

  button.addEventListener('click', async () => {
    button.disabled = true
    try {
      await ask(`/api/workers/${encodeURIComponent(workerId)}`, { method: 'DELETE' })
      dialog.close()
      // The button that opened it goes.
      byId('machines-title').focus()
      refresh()
    } catch (error) {
      // Somebody else was quicker.
      if (error instanceof Problem && error.status === 404) dialog.close()
      showText(problem, /** @type {Error} */ (error).message)
    } finally {
      button.disabled = false
    }
  })

  return ({ id, name }) => {
    workerId = id
    byId('removal-title').replaceChildren('Remove ', quoted(name), ' from the cluster?')
    showText(problem, null)
    dialog.showModal()
  }
}
