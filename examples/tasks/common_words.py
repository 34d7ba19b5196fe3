from collections import Counter

from pydantic import BaseModel, Field

from sc_gpu import Context, task


class Request(BaseModel):
    text: str = Field(min_length=1)
    most: int = Field(default=3, ge=1)


class Word(BaseModel):
    word: str
    times: int


class Answer(BaseModel):
    words: list[Word]


@task(name="common-words", description="The words that come most often")
def common_words(request: Request, context: Context) -> Answer:
    counts: Counter[str] = Counter()
    lines = request.text.lower().splitlines()
    for index, line in enumerate(lines):
        context.raise_if_cancelled()
        counts.update(line.split())
        context.progress((index + 1) / len(lines))
    context.log("Counted", different=len(counts))
    return Answer(words=[Word(word=word, times=times) for word, times in counts.most_common(request.most)])
