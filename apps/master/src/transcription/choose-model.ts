import { ScError } from '@sc/shared/errors.ts'
import { isEnglishOnly } from '@sc/shared/transcription.ts'

/** What a transcription asks for and what the cluster is. */
export interface ModelQuestion {
  /** `auto` or a model's name. */
  requested: string
  /** ISO 639-1, or null: not said. */
  language: string | null
  /** A worker of the cluster has a GPU that can hold the large models. */
  hasGpu: boolean
  /** SC_DEFAULT_MODEL. */
  defaultModel: string | undefined
}

const ON_GPU = { english: 'distil-large-v3.5', other: 'large-v3-turbo' }
/** Small enough for a CPU, knows 99 languages, and is there without a hub. */
const ON_CPU = { english: 'base', other: 'base' }

/** The model that detects languages: any multilingual one of the right size. */
export function detectionModel({ hasGpu, defaultModel }: ModelQuestion): string {
  if (defaultModel && !isEnglishOnly(defaultModel)) return defaultModel
  return (hasGpu ? ON_GPU : ON_CPU).other
}

/** The model for the job, or null: it depends on the language, which must be detected first. */
export function chooseModel(question: ModelQuestion): string | null {
  const { requested, language } = question
  const candidates = candidatesFor(question)
  if (requested !== 'auto' && isEnglishOnly(requested)) {
    if (language === null) return null
    if (language !== 'en') throw wrongLanguage(requested, language)
    return requested
  }
  if (candidates.english === candidates.other) return candidates.other
  return language === null ? null : language === 'en' ? candidates.english : candidates.other
}

function candidatesFor(question: ModelQuestion): { english: string; other: string } {
  const { requested, defaultModel, hasGpu } = question
  const fixed = requested === 'auto' ? defaultModel : requested
  if (!fixed) return hasGpu ? ON_GPU : ON_CPU
  return { english: fixed, other: isEnglishOnly(fixed) ? detectionModel(question) : fixed }
}

function wrongLanguage(model: string, language: string): ScError {
  return new ScError(
    'SC_LANGUAGE_NOT_SUPPORTED',
    `The model ${model} knows only English, and the recording is in "${language}". Use model=auto or a multilingual model.`
  )
}
