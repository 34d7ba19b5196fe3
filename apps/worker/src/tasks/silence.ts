/** Looks so often in the time that is allowed. */
const LOOKS = 6

/**
 * Calls `onSilent` once nothing was heard for `limitMs`. It counts its own looks instead of asking the clock: while
 * this process stands still itself, what the other says lies unread.
 */
export function watchSilence(limitMs: number, onSilent: () => void): { heard(): void; stop(): void } {
  let silentLooks = 0
  const timer = setInterval(() => {
    silentLooks++
    if (silentLooks > LOOKS) onSilent()
  }, limitMs / LOOKS)
  return {
    heard: () => {
      silentLooks = 0
    },
    stop: () => clearInterval(timer)
  }
}
