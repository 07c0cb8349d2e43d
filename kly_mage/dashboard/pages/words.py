"""Words: what became of a row, and how a day stands; as docs/words.md has them."""

import streamlit as st

from kly_mage.common.words import words
from kly_mage.dashboard.parts import head, subhead, text

head('What the words mean')
for title, told in words().items():
    subhead(title)
    meanings = ''.join(f'<dt>{text(word)}</dt><dd>{text(what)}</dd>' for word, what in told)
    st.html(f'<dl class="kly-words">{meanings}</dl>')
