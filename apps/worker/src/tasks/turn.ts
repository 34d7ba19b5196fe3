/** Looks so often in the time that a process may say nothing. */
const LOOKS = 6

export interface Turn {
  /** The process said something. */
  heard(): void
  end(): void
}

export interface TurnLimits {
  deadlineMs: number
  onLate(): void
  /** After the deadline. */
  graceMs: number
  onTooLate(): void
  /** Null: it may say nothing for as long as it likes. */
  silentMs: number | null
  onSilent(): void
}

/**
 * Watches over a run while it goes on. Silence is counted in looks instead of asking the clock: while this process stands
 * still itself, what the other says lies unread.
 */
export function beginTurn({ deadlineMs, onLate, graceMs, onTooLate, silentMs, onSilent }: TurnLimits): Turn {
  let silentLooks = 0
  let deadline = setTimeout(() => {
    onLate()
    deadline = setTimeout(onTooLate, graceMs)
  }, deadlineMs)
  const look = (): void => {
    silentLooks++
    if (silentLooks > LOOKS) onSilent()
  }
  const looks = silentMs === null ? undefined : setInterval(look, silentMs / LOOKS)
  return {
    heard: () => {
      silentLooks = 0
    },
    end: () => {
      clearTimeout(deadline)
      clearInterval(looks)
    }
  }
}
