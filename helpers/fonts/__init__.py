"""The Chinese glyphs that the figures use, cut from Noto Sans SC. To cut them again:

    python -m helpers.fonts NotoSansCJK-Regular.ttc

where the argument is any file of Noto Sans SC (Debian and Ubuntu: the package fonts-noto-cjk).
"""
