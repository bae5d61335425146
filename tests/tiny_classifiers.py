"""Tiny BERTs with hand-made weights, so that their judgement is known: all words of a claim must occur in its text.

Layer 1: each token looks for its own word in the premise, and raises a flag if there is none; a token classifier reads
it there. Layer 2: the first token looks for a raised flag; a sequence classifier reads it there. Every embedding has
the same length and mean, so that layer normalisation only scales.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

SPECIAL: Final = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
WORDS: Final = (
    "full part time staff have 12 6 days of annual leave visitors park behind the north building nhân viên ngày ."
)
VOCABULARY: Final = [*SPECIAL, *WORDS.split()]
LIMIT_TOKENS: Final = 32
# A dimension per word; then the text that a token stands in (+ premise, - hypothesis), and its flag, each with its
# negative beside it.
_TEXT: Final = len(VOCABULARY)
_FLAG: Final = _TEXT + 2
_HIDDEN: Final = _FLAG + 2
_SHARPNESS: Final = _HIDDEN**0.5  # undoes what attention divides its scores by
_FLAG_FLOOR: Final = 1.2  # about half of a flag's height

# By label: how its output moves where a flag is up.
Signs = Mapping[str, int]
NLI: Final[Signs] = {"entailment": -1, "neutral": 0, "contradiction": 1}


def write_sequence_classifier(folder: Path, signs: Signs) -> Path:
    from transformers import BertForSequenceClassification  # noqa: PLC0415  # seconds

    model = BertForSequenceClassification(_config(signs, layers=2))
    with _hand(model):
        _write_search(model.bert)
        _write_look_out(model.bert.encoder.layer[1].attention)
        model.bert.pooler.dense.weight[0, _FLAG] = 1.0
        model.bert.pooler.dense.bias[0] = -_FLAG_FLOOR
        for row, sign in enumerate(signs.values()):
            model.classifier.weight[row, 0] = 4.0 * sign
    return _save(model, folder)


def write_token_classifier(folder: Path, signs: Signs) -> Path:
    from transformers import BertForTokenClassification  # noqa: PLC0415

    model = BertForTokenClassification(_config(signs, layers=1))
    with _hand(model):
        _write_search(model.bert)
        for row, sign in enumerate(signs.values()):
            model.classifier.weight[row, _FLAG] = 2.0 * sign
            model.classifier.bias[row] = -2.0 * _FLAG_FLOOR * sign
    return _save(model, folder)


def write_random_classifier(folder: Path, signs: Signs = NLI) -> Path:
    """With weights that make every token matter."""
    import torch  # noqa: PLC0415
    from transformers import BertForSequenceClassification  # noqa: PLC0415

    with torch.random.fork_rng():
        torch.manual_seed(7)
        return _save(BertForSequenceClassification(_config(signs, layers=2, initializer_range=0.5)), folder)


def write_foreign_model(folder: Path) -> Path:
    """A model that classifies nothing."""
    from transformers import BertForMaskedLM  # noqa: PLC0415

    return _save(BertForMaskedLM(_config(NLI, layers=1)), folder)


def _config(
    signs: Signs, *, layers: int, initializer_range: float = 0.02
) -> Any:  # Any: transformers has no types here
    from transformers import BertConfig  # noqa: PLC0415

    return BertConfig(
        vocab_size=len(VOCABULARY), hidden_size=_HIDDEN, num_hidden_layers=layers, num_attention_heads=1,
        intermediate_size=len(VOCABULARY), max_position_embeddings=LIMIT_TOKENS, initializer_range=initializer_range,
        id2label=dict(enumerate(signs)), label2id={label: number for number, label in enumerate(signs)},
    )  # fmt: skip


def _hand(model: Any) -> Any:
    """Everything at zero, normalisation at one; gradients off for as long as it is written."""
    import torch  # noqa: PLC0415

    context = torch.no_grad()
    with context:
        for name, parameter in model.named_parameters():
            parameter.fill_(1.0 if name.endswith("LayerNorm.weight") else 0.0)
        embeddings = model.bert.embeddings
        for word in range(len(VOCABULARY)):
            embeddings.word_embeddings.weight[word, word] = 1.0
        for text, sign in enumerate((1.0, -1.0)):
            embeddings.token_type_embeddings.weight[text, _TEXT] = sign
            embeddings.token_type_embeddings.weight[text, _TEXT + 1] = -sign
    return context


def _write_search(bert: Any) -> None:
    """Attention goes to the own word in the premise, else to other words of the premise; what it finds is taken off.

    What is left of the own word raises the flag.
    """
    layer = bert.encoder.layer[0]
    for word in range(len(VOCABULARY)):
        layer.attention.self.query.weight[word, word] = _SHARPNESS
        layer.attention.self.key.weight[word, word] = 1.0
        layer.attention.self.value.weight[word, word] = 1.0
        layer.attention.output.dense.weight[word, word] = -1.0
        layer.intermediate.dense.weight[word, word] = 2.0
        layer.intermediate.dense.bias[word] = -4.0
        layer.output.dense.weight[_FLAG, word] = 3.0
        layer.output.dense.weight[_FLAG + 1, word] = -3.0
    layer.attention.self.query.bias[_TEXT] = 3.0 * _SHARPNESS
    layer.attention.self.key.weight[_TEXT, _TEXT] = 1.0


def _write_look_out(attention: Any) -> None:
    """The highest flag becomes everybody's."""
    attention.self.query.bias[_FLAG] = 3.0 * _SHARPNESS
    attention.self.key.weight[_FLAG, _FLAG] = 1.0
    for sign, place in ((1.0, _FLAG), (-1.0, _FLAG + 1)):
        attention.self.value.weight[place, _FLAG] = sign
        attention.output.dense.weight[place, place] = 1.0


def _save(model: Any, folder: Path) -> Path:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors  # noqa: PLC0415
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415

    tokenizer = Tokenizer(models.WordPiece({word: number for number, word in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, VOCABULARY.index(token)) for token in ("[CLS]", "[SEP]")],
    )
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=LIMIT_TOKENS, pad_token="[PAD]", unk_token="[UNK]",
        cls_token="[CLS]", sep_token="[SEP]", model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(folder)  # fmt: skip
    return folder
