/** One line of `CLIENT LIST`. What a server of an earlier version does not say is 0. */
export interface Client {
  id: string
  user: string
  /** Without the port. */
  address: string
  ageSeconds: number
  /** Answers that wait to be read, and commands that are not whole. */
  memoryBytes: number
  /** Since it connected. */
  inputBytes: number
  outputBytes: number
  commands: number
}

export function parseClients(list: string): Client[] {
  return list.split('\n').flatMap(line => {
    const fields = new Map(
      line.split(' ').map(field => {
        const at = field.indexOf('=')
        return [field.slice(0, at), field.slice(at + 1)]
      })
    )
    const [id, user] = [fields.get('id'), fields.get('user')]
    const number = (name: string): number => Number(fields.get(name) ?? 0)
    if (!id || !user) return []
    return [
      {
        id,
        user,
        address: (fields.get('addr') ?? '').replace(/:\d+$/, ''),
        ageSeconds: number('age'),
        memoryBytes: number('tot-mem'),
        inputBytes: number('tot-net-in'),
        outputBytes: number('tot-net-out'),
        commands: number('tot-cmds')
      }
    ]
  })
}
