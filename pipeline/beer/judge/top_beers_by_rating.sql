-- Per beer and month: exact mean of the overall score to four digits, halves away from zero, and how many reviews made it.
SELECT monthly.beer_id,
       b.beer_name,
       b.beer_style,
       round(monthly.score_sum / monthly.reviews, 4)::numeric(5, 4) AS avg_rating,
       monthly.reviews AS total_reviews,
       monthly.review_year,
       monthly.review_month
FROM (
    SELECT beer_id,
           extract(year FROM review_time AT TIME ZONE 'UTC')::integer AS review_year,
           extract(month FROM review_time AT TIME ZONE 'UTC')::integer AS review_month,
           sum(review_overall) AS score_sum,
           count(*) AS reviews
    FROM dm_core.review
    GROUP BY 1, 2, 3
) AS monthly
LEFT JOIN dm_core.beer AS b ON b.beer_id = monthly.beer_id
