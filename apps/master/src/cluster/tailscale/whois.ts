import { z } from 'zod'

/** Whose machine an address of the tailnet is. */
export interface TailnetIdentity {
  /** MagicDNS name of the machine. */
  hostname: string
  loginName: string
  displayName: string
  /** A tagged machine belongs to nobody. */
  tags: string[]
}

const whoisSchema = z.object({
  Node: z.object({ Name: z.string(), Tags: z.array(z.string()).nullish() }),
  UserProfile: z.object({ LoginName: z.string(), DisplayName: z.string().default('') })
})

export function toIdentity(answer: unknown): TailnetIdentity | null {
  const parsed = whoisSchema.safeParse(answer)
  if (!parsed.success) return null
  const { Node, UserProfile } = parsed.data
  return {
    hostname: Node.Name.replace(/\.$/, ''),
    loginName: UserProfile.LoginName,
    displayName: UserProfile.DisplayName,
    tags: Node.Tags ?? []
  }
}
